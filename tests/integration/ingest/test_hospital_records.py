"""A hospital's records in their real DVC repository, through the whole stage `validate`."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.datasets import DATASETS, Records
from pipeline.datasets.base import RECORDS
from pipeline.datasets.records import records_folder
from pipeline.errors import DataRejected
from pipeline.evidence.canonical import sha256
from pipeline.ingest import validate
from pipeline.ingest.passed import run_once
from pipeline.ingest.validate import Validation
from pipeline.ingest.versioning import version
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study
from tests.support.pictures import dicom, png

CANARY = "CANARY-4711"
NUMBER = "4711.4711"
STUDY_FILE = PROJECT / "studies" / "breast_cancer.yaml"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Hospital aster with eighty records of breast cancer and thirty X-rays."""
    home = tmp_path / "hospitals" / "aster"
    train, test = DATASETS["breast_cancer"].load([])
    rows = np.arange(80)
    DATASETS["breast_cancer"].write(records_folder(home, "breast_cancer"), train[rows], test[rows[:20]])
    rng = np.random.default_rng(0)
    rays = Records(
        np.array([f"x-{row}" for row in range(30)]),
        rng.integers(0, 256, (30, 28, 28), dtype=np.uint8),
        np.arange(30) % 2,
    )
    DATASETS["pneumonia"].write(records_folder(home, "pneumonia"), rays[np.arange(24)], rays[np.arange(24, 30)])
    return home


@pytest.fixture
def study() -> Study:
    return Study.load(STUDY_FILE)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this test alone."""
    import tempfile

    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def checked(home: Path, study: Study) -> Validation:
    """What the stage says of the records in their present version."""
    return validate.run(home, study, version(home, study.dataset))


def dvc(home: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=home / "data", capture_output=True, text=True, check=True).stdout


def commits(home: Path) -> list[str]:
    log = subprocess.run(
        ["git", "log", "--format=%an: %s"], cwd=home / "data", capture_output=True, text=True, check=True
    )
    return log.stdout.splitlines()


def plant(home: Path, column: str, value: str) -> None:
    file = records_folder(home, "breast_cancer") / RECORDS
    frame = pd.read_csv(file, dtype=str)
    frame.loc[5, column] = value
    frame.to_csv(file, index=False)


def test_the_version_is_dvcs_own_and_dvc_finds_nothing_changed(home: Path) -> None:
    digest = version(home, "breast_cancer")
    pointer = yaml.safe_load((home / "data" / "records" / "breast_cancer.dvc").read_text())
    assert digest == pointer["outs"][0]["md5"]
    assert digest.endswith(".dir")
    assert json.loads(dvc(home, "status", "--json")) == {}
    assert commits(home) == ["aster: Record a version of breast_cancer", "aster: Begin the history of the records"]


def test_the_version_stays_without_a_commit_until_the_records_change_and_the_old_ones_can_be_had_back(
    home: Path,
) -> None:
    first = version(home, "breast_cancer")
    assert version(home, "breast_cancer") == first
    file = records_folder(home, "breast_cancer") / RECORDS
    before = file.read_bytes()
    plant(home, "mean radius", "12.5")
    second = version(home, "breast_cancer")
    assert second != first
    assert len(commits(home)) == 3
    file.unlink()
    subprocess.run(["git", "checkout", "-q", "HEAD~1"], cwd=home / "data", check=True)
    dvc(home, "checkout")
    assert file.read_bytes() == before
    assert version(home, "breast_cancer") == first


def test_each_data_set_has_a_version_of_its_own(home: Path) -> None:
    table = version(home, "breast_cancer")
    images = version(home, "pneumonia")
    plant(home, "mean radius", "12.5")
    assert version(home, "pneumonia") == images
    assert version(home, "breast_cancer") != table


def test_a_picture_that_a_device_drops_makes_a_new_version_with_the_old_one_kept(home: Path) -> None:
    """Also one that has no label yet: the version is of the folder as it is."""
    folder = records_folder(home, "lungs")
    folder.mkdir(parents=True)
    png(folder / "1.png", np.zeros((9, 9), np.uint8))
    (folder / "labels.csv").write_text("file,label\n1.png,normal\n")
    first = version(home, "lungs")
    dicom(folder / "IM0002", np.zeros((9, 9), np.uint16))
    second = version(home, "lungs")
    assert second != first
    assert version(home, "lungs") == second
    assert commits(home)[:2] == ["aster: Record a version of lungs"] * 2


def test_equal_records_have_equal_versions_at_different_hospitals(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "hospitals" / "birch"
    folder = records_folder(other, "breast_cancer")
    folder.mkdir(parents=True)
    (folder / RECORDS).write_bytes((records_folder(home, "breast_cancer") / RECORDS).read_bytes())
    assert version(other, "breast_cancer") == version(home, "breast_cancer")


def test_the_records_themselves_are_never_committed_to_git_and_no_remote_is_set(home: Path) -> None:
    version(home, "breast_cancer")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=home / "data", capture_output=True, text=True, check=True
    ).stdout.split()
    assert sorted(listed) == [
        ".dvc/.gitignore",
        ".dvc/config",
        ".dvcignore",
        "records/.gitignore",
        "records/breast_cancer.dvc",
    ]
    assert dvc(home, "remote", "list").strip() == ""


@pytest.mark.parametrize("prepare", ["missing", "empty"])
def test_missing_records_are_refused(prepare: str, home: Path, study: Study) -> None:
    folder = records_folder(home, "breast_cancer")
    (folder / RECORDS).unlink()
    if prepare == "missing":
        folder.rmdir()
    with pytest.raises(DataRejected, match=r"aster: .*data/records/breast_cancer has a DVC version"):
        checked(home, study)


def test_good_records_pass_and_what_leaves_is_coarse(home: Path, study: Study) -> None:
    validation = checked(home, study)
    assert validation.passed
    assert validation.body().keys() == {"dataset_version", "rows", "expectations", "passed"}
    assert validation.rows == "100-199"
    assert validation.dataset_version == version(home, "breast_cancer")
    assert checked(home, study) == validation


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A line for each time that Great Expectations is asked."""
    asked = []
    check = validate.check

    def counted(frame: pd.DataFrame, study: Study) -> tuple[bytes, dict[str, bool]]:
        asked.append(study.name)
        return check(frame, study)

    monkeypatch.setattr(validate, "check", counted)
    return asked


def test_records_that_passed_are_checked_again_once_they_or_the_study_are_others(
    home: Path, study: Study, checks: list[str]
) -> None:
    first = run_once(home, study, sha256(b"study"))
    assert first.passed
    assert run_once(home, study, sha256(b"study")) == first
    assert len(checks) == 1
    assert run_once(home, study, sha256(b"another version")) == first
    assert len(checks) == 2
    plant(home, "mean radius", NUMBER)
    assert not run_once(home, study, sha256(b"another version")).passed
    assert not run_once(home, study, sha256(b"another version")).passed
    assert len(checks) == 4


@pytest.mark.parametrize("damage", ["", "{}", "[", '{"study": 1}', None])
def test_what_was_kept_of_a_check_counts_whole_or_not_at_all(
    damage: str | None, home: Path, study: Study, checks: list[str]
) -> None:
    first = run_once(home, study, sha256(b"study"))
    (kept,) = (home / "docs").glob("*.passed")
    assert kept.stat().st_mode & 0o077 == 0
    if damage is None:
        kept.write_text(kept.read_text().replace("true", "false", 1))
    else:
        kept.write_text(damage)
    assert run_once(home, study, sha256(b"study")) == first
    assert len(checks) == 2


def test_a_data_set_of_images_passes_too(home: Path) -> None:
    study = Study.load(PROJECT / "studies" / "pneumonia.yaml")
    assert checked(home, study).failed == ()


@pytest.mark.parametrize(
    ("column", "value", "failed"),
    [
        ("label", CANARY, "label is malignant or benign"),
        ("split", CANARY, "split is train or test"),
        ("mean radius", CANARY, "mean radius is a number"),
        ("mean radius", NUMBER, "mean radius is within 0 to 60"),
        ("worst area", f"-{NUMBER}", "worst area is within 0 to 9000"),
        ("record_id", CANARY, ""),
    ],
)
def test_a_canary_among_the_records_stays_at_the_hospital(
    column: str,
    value: str,
    failed: str,
    home: Path,
    study: Study,
    temporary: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    plant(home, column, value)
    with caplog.at_level(logging.DEBUG):
        validation = checked(home, study)
    assert (failed in validation.failed) == bool(failed)
    seen = json.dumps(validation.body()) + repr(validation) + caplog.text + "".join(capfd.readouterr())
    assert CANARY not in seen
    assert NUMBER not in seen
    everywhere = [
        file for file in temporary.parent.rglob("*") if file.is_file() and value.encode() in file.read_bytes()
    ]
    allowed = (records_folder(home, "breast_cancer"), home / "data" / ".dvc" / "cache", home / "docs")
    assert all(any(place in file.parents for place in allowed) for file in everywhere)
    assert any(records_folder(home, "breast_cancer") in file.parents for file in everywhere)


def test_full_data_docs_are_kept_at_the_hospital_for_its_own_eyes(home: Path, study: Study, temporary: Path) -> None:
    plant(home, "mean radius", NUMBER)
    validation = checked(home, study)
    (page,) = (home / "docs").iterdir()
    assert page.name == f"breast_cancer-{validation.dataset_version}.html"
    assert page.stat().st_mode & 0o077 == 0
    assert NUMBER in page.read_text()
    assert list(temporary.iterdir()) == []


def test_an_unreadable_table_is_refused_without_quoting_it(
    home: Path, study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    (records_folder(home, "breast_cancer") / RECORDS).write_text(f'record_id,split\n1,2\n"{CANARY}')
    with caplog.at_level(logging.DEBUG), pytest.raises(DataRejected) as caught:
        checked(home, study)
    assert "records are readable" in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value)) + caplog.text


def command(home: Path, out: Path) -> subprocess.CompletedProcess[str]:
    arguments = ["--study", str(STUDY_FILE), "--hospital", home.name, "--out", str(out)]
    environment = {**os.environ, "WARDROUND_HOME": str(home.parent.parent)}
    return subprocess.run(
        [sys.executable, "-m", "pipeline.ingest", *arguments],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )


def test_the_command_writes_what_leaves_the_hospital(home: Path, study: Study, tmp_path: Path) -> None:
    done = command(home, tmp_path / "validation.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "validation.json").read_text()) == checked(home, study).body()


def test_the_command_fails_with_the_failed_expectations_named(home: Path, tmp_path: Path) -> None:
    plant(home, "mean radius", CANARY)
    done = command(home, tmp_path / "validation.json")
    assert done.returncode == 1
    assert "mean radius is a number" in done.stderr
    assert CANARY not in done.stderr + done.stdout + (tmp_path / "validation.json").read_text()
    assert not json.loads((tmp_path / "validation.json").read_text())["passed"]
