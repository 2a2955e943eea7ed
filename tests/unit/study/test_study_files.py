"""A folder's study files: one that is wrong takes no other away, unless all have to hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import InvalidStudy, Misconfigured
from pipeline.site.settings import PROJECT
from pipeline.study.study_files import StudyFiles, load_studies, study_names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = (PROJECT / "studies" / "breast_cancer.yaml").read_text()
    (tmp_path / "sound.yaml").write_text(text)
    (tmp_path / "wrong.yaml").write_text(text.replace("engine: spu", "engine: none"))
    (tmp_path / "cut_off.yaml").write_text(text[:40] + "\n[")
    (tmp_path / "notes.txt").write_text("no study")
    return tmp_path


def test_a_wrong_file_takes_no_other_away_and_is_told_of(folder: Path) -> None:
    files = StudyFiles.read(folder)
    assert {name: study.name for name, study in files.studies.items()} == {"sound": "sound"}
    assert list(files.wrong) == ["cut_off", "wrong"]
    assert files.wrong["wrong"].field == "engine"


def test_one_file_is_read_by_its_name_and_no_other(folder: Path) -> None:
    assert StudyFiles.read(folder, "sound") == StudyFiles(StudyFiles.read(folder).studies, {})
    assert StudyFiles.read(folder, "nobody_wrote_it") == StudyFiles({}, {})


def test_names_are_those_of_files_whether_or_not_they_hold(folder: Path) -> None:
    assert study_names(folder) == ("cut_off", "sound", "wrong")


def test_where_all_have_to_hold_the_first_wrong_one_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidStudy, match="cut_off"):
        StudyFiles.read(folder).all()
    with pytest.raises(InvalidStudy, match="cut_off"):
        load_studies(folder)


def test_an_installation_without_studies_is_refused_a_folder_without_any_is_empty(tmp_path: Path) -> None:
    assert StudyFiles.read(tmp_path).all() == {}
    with pytest.raises(Misconfigured, match="got no study file, want at least one"):
        load_studies(tmp_path)
