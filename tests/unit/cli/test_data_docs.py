from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import commands
from pipeline.errors import Misconfigured


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WARDROUND_HOME", str(tmp_path))
    folder = tmp_path / "hospitals" / "aster" / "docs"
    folder.mkdir(parents=True)
    for age, name in enumerate(("breast_cancer-new.html", "breast_cancer-old.html", "pneumonia-newest.html")):
        (folder / name).write_text("page")
        os.utime(folder / name, (1000 - age, 1000 - age))
    return folder


def test_the_newest_data_docs_of_a_study_are_found(docs: Path) -> None:
    done = CliRunner().invoke(commands, ["data", "docs", "breast_cancer", "--as", "aster", "--print"])
    assert (done.exit_code, done.stdout.strip()) == (0, str(docs / "breast_cancer-new.html"))


@pytest.mark.parametrize(
    ("study", "hospital", "message"),
    [("breast_cancer", "nobody", "want one of aster"), ("breast_cancer", "birch", "written when a round validates")],
)
def test_without_data_docs_it_says_when_there_are_some(docs: Path, study: str, hospital: str, message: str) -> None:
    done = CliRunner().invoke(commands, ["data", "docs", study, "--as", hospital, "--print"])
    assert isinstance(done.exception, Misconfigured)
    assert message in str(done.exception)
