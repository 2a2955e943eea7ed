"""`python -m pipeline.train`: the stage functions of the round, called as `dvc repro` calls them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from pipeline.datasets import DATASETS
from pipeline.datasets.pool import split
from pipeline.datasets.records import read, records_folder
from pipeline.domain import HospitalName, RoundId
from pipeline.errors import DataRejected, Misconfigured
from pipeline.host.files import write_secret
from pipeline.host.secret import Secret
from pipeline.model_file import model_bytes, parse_model
from pipeline.setup.partition import deal
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study
from pipeline.train.__main__ import app
from pipeline.train.initial import initial_model
from pipeline.train.misbehaviour import BEHAVIOURS
from pipeline.train.stage import run

FILE = PROJECT / "studies" / "breast_cancer.yaml"
STUDY = Study.load(FILE)


@pytest.fixture
def hospitals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The five hospitals with their records and secrets; elm flips its labels."""
    monkeypatch.setenv("WARDROUND_HOME", str(tmp_path))
    dataset = DATASETS["breast_cancer"]
    for index, (name, (train, test)) in enumerate(deal(STUDY, *dataset.load([])).items()):
        home = tmp_path / "hospitals" / name
        dataset.write(records_folder(home, dataset.name), train, test)
        write_secret(home / "sharing-secret", bytes([index]) * 32)
    (tmp_path / "hospitals" / "elm" / "hospital.yaml").write_text("misbehaviour: label_flip\n")
    return tmp_path / "hospitals"


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments[:1], "--study", str(FILE), *arguments[1:]])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def trained(tmp_path: Path, hospital: str, *more: str) -> np.ndarray:
    model = tmp_path / "model.safetensors"
    out = tmp_path / "update.npy"
    model.write_bytes(model_bytes(initial_model(STUDY)))
    arguments = [
        "--hospital",
        hospital,
        "--model",
        str(model),
        "--round",
        "3",
        "--rounds-finished",
        "2",
        "--out",
        str(out),
    ]
    assert call("update", *arguments, *more).exit_code == 0
    return np.load(out)


@pytest.mark.parametrize("name", ["aster", "elm"])
def test_the_command_trains_what_the_stage_trains(name: str, hospitals: Path, tmp_path: Path) -> None:
    home = hospitals / name
    records = read(home, STUDY.source)
    rows, _ = split(records.train, Secret.read(home / "sharing-secret"))
    expected = run(
        STUDY,
        initial_model(STUDY),
        records.train[rows],
        round_id=RoundId(3),
        finished=2,
        hospital=HospitalName(name),
        budget=10**8,
        verdicts=[True, False],
        behaviour=BEHAVIOURS["label_flip" if name == "elm" else "honest"],
    )
    update = trained(tmp_path, name, "--budget", str(10**8), "--verdicts", "accepted,rejected")
    assert update.dtype == np.int64
    assert update.tolist() == expected.tolist()


def test_the_update_is_readable_by_its_owner_only(hospitals: Path, tmp_path: Path) -> None:
    trained(tmp_path, "aster")
    assert (tmp_path / "update.npy").stat().st_mode & 0o077 == 0


def test_the_first_model_can_be_written(tmp_path: Path) -> None:
    assert call("initial", "--out", str(tmp_path / "model")).exit_code == 0
    assert parse_model((tmp_path / "model").read_bytes(), STUDY.network.size).tolist() == initial_model(STUDY).tolist()


def test_the_undefended_rounds_are_hurt_by_the_label_flipper_among_the_hospitals(
    hospitals: Path, tmp_path: Path
) -> None:
    assert call("undefended", "--rounds", "1,2", "--out", str(tmp_path / "poisoned.json")).exit_code == 0
    (hospitals / "elm" / "hospital.yaml").unlink()
    assert call("undefended", "--rounds", "1,2", "--out", str(tmp_path / "clean.json")).exit_code == 0
    poisoned, clean = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("poisoned", "clean"))
    assert list(poisoned) == list(clean) == ["1", "2"]
    assert poisoned["2"] < clean["2"] - 0.1


def test_an_unknown_hospital_or_verdict_is_refused_with_what_is_allowed(hospitals: Path, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="--hospital: got 'fir', want one of aster, birch"):
        trained(tmp_path, "fir")
    with pytest.raises(Misconfigured, match="--verdicts: got 'yes', want accepted or rejected"):
        trained(tmp_path, "aster", "--verdicts", "accepted,yes")


def test_a_hospital_without_records_is_refused(hospitals: Path, tmp_path: Path) -> None:
    for file in records_folder(hospitals / "aster", "breast_cancer").iterdir():
        file.unlink()
    with pytest.raises(DataRejected, match="aster: records fail the data contract: records are readable"):
        trained(tmp_path, "aster")
