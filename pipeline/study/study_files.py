"""The study files of a folder: those that hold, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InvalidStudy, Misconfigured
from pipeline.study.study import Study


@dataclass(frozen=True)
class StudyFiles:
    """A folder's study files, each read by itself: a wrong one takes no other away."""

    studies: Mapping[str, Study]
    """Name to study, of the files that hold."""
    wrong: Mapping[str, InvalidStudy]
    """Name to what is wrong with the file, of the others."""

    @classmethod
    def read(cls, folder: Path, name: str = "*") -> StudyFiles:
        """Every study file of a folder by name, or the one of a name, if it is there."""
        studies = {}
        wrong = {}
        for file in _files(folder, name):
            try:
                studies[file.stem] = Study.load(file)
            except InvalidStudy as error:
                wrong[file.stem] = error
        return cls(studies, wrong)

    def all(self) -> Mapping[str, Study]:
        """Name to study where every file has to hold; raises InvalidStudy, what is wrong with the first that does not.

        A folder without study files has none.
        """
        for error in self.wrong.values():
            raise error
        return self.studies


def load_studies(folder: Path) -> Mapping[str, Study]:
    """Every study of a folder that has to have one.

    Raises InvalidStudy for the first file that does not hold, Misconfigured when there is none.
    """
    if not study_names(folder):
        raise Misconfigured(f"{folder}: got no study file, want at least one YAML file")
    return StudyFiles.read(folder).all()


def study_names(folder: Path) -> tuple[str, ...]:
    """The names of the studies of a folder, whether or not their files hold."""
    return tuple(file.stem for file in _files(folder))


def _files(folder: Path, name: str = "*") -> list[Path]:
    return sorted(folder.glob(f"{name}.yaml"))
