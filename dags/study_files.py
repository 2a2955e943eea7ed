"""The study files of this installation: those that hold, and what is wrong with the others."""

from __future__ import annotations

from pipeline.errors import InvalidStudy
from pipeline.site.settings import Settings
from pipeline.study.study import Study


def read(name: str = "*") -> tuple[list[Study], list[InvalidStudy]]:
    """Studies by name, or the one of a name, and one error per file that is none."""
    studies = []
    errors = []
    for file in sorted(Settings.load().studies.glob(f"{name}.yaml")):
        try:
            studies.append(Study.load(file))
        except InvalidStudy as error:
            errors.append(error)
    return studies, errors
