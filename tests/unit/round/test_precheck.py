"""What a hospital learns on its own machine about its model, and what the current global model says; nothing leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from pipeline import model_file
from pipeline.chain.ledger import study_id
from pipeline.cli import commands
from pipeline.datasets import records
from pipeline.datasets.breast_cancer import BreastCancer
from pipeline.datasets.records import records_folder
from pipeline.domain import RoundId
from pipeline.errors import EvidenceRejected, FileRejected, Refused
from pipeline.model_file import model_bytes
from pipeline.store import object_keys
from pipeline.views.model_card import WARNING
from pipeline.views.precheck import check_model
from pipeline.views.prediction import Predictor
from tests.support.installed import HOSPITALS, Installed
from tests.support.rounds import Play
from tests.support.thresholds import FOR_FEW_SAMPLES

ASTER = HOSPITALS[0]


@pytest.fixture(scope="module")
def play(site: Installed) -> Play:
    """A study with no round yet; the first test plays one."""
    return site.play("asked", rule={**FOR_FEW_SAMPLES, "images_per_hospital": 24})


@pytest.fixture(scope="module")
def finished(site: Installed, play: Play) -> RoundId:
    """Its first round."""
    return play.round()


@pytest.fixture
def wardround(site: Installed, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("WARDROUND_HOME", str(site.settings.home))
    monkeypatch.setenv("WARDROUND_STUDIES", str(site.settings.studies))

    def run(*arguments: str, text: str | None = None) -> Result:
        return CliRunner().invoke(commands, arguments, input=text, env={"COLUMNS": "200"})

    return run


def saved(folder: Path, site: Installed, play: Play, change: np.ndarray) -> Path:
    digest = site.ledger.study(study_id(play.study.name)).current_model
    current = model_file.parse_model(
        site.store().get(object_keys.MODELS, object_keys.model().key(digest), digest), play.study.network.size
    )
    (folder / "mine.safetensors").write_bytes(model_bytes(current + change))
    return folder / "mine.safetensors"


def contrary(site: Installed, play: Play) -> np.ndarray:
    """A model that calls what lies nearer to one class's mean the other class."""
    own = records.read(site.settings.hospital(ASTER), play.study.source).train
    first, second = (own.inputs[own.labels == label].mean(axis=0) / 256 for label in (0, 1))
    towards = first - second
    middle = (first + second) / 2
    model = np.concatenate([-towards, towards, [towards @ middle, -towards @ middle]])
    return np.rint(3 * model / np.abs(model).max() * (1 << 16)).astype(np.int64)


def test_before_the_first_round_a_model_can_be_checked_but_for_its_size_and_none_can_predict(
    site: Installed, play: Play
) -> None:
    found = check_model("asked", ASTER, settings=site.settings)
    assert {finding.test: finding.passed for finding in found.findings} == {
        "range": True, "size": None, "accuracy": True, "weakest class": True, "direction": None, "peers": None,
    }  # fmt: skip
    with pytest.raises(Refused, match="no round has ended in a model yet"):
        Predictor.open("asked", ASTER, site.settings)


def test_the_model_that_a_hospital_would_train_is_checked_under_the_budget_and_nothing_is_left_behind(
    site: Installed, play: Play, finished: RoundId
) -> None:
    before = site.traces()
    found = check_model("asked", ASTER, settings=site.settings)
    assert found.passed
    assert found.round == finished + 1
    assert {finding.test: finding.passed for finding in found.findings}["size"] is True
    Predictor.open("asked", ASTER, site.settings)
    assert site.traces() == before


def test_a_model_is_refused_for_its_size_for_changing_nothing_and_for_being_worse(
    site: Installed, play: Play, finished: RoundId, tmp_path: Path
) -> None:
    size = play.study.network.size

    def failed(change: np.ndarray) -> dict[str, str]:
        found = check_model("asked", ASTER, saved(tmp_path, site, play, change), site.settings)
        assert not found.passed
        return {finding.test: finding.sentence for finding in found.findings if finding.passed is False}

    large = failed(np.full(size, 40_000))
    assert "is allowed: scale it down to that" in large["size"]
    assert "changes nothing is rejected" in failed(np.zeros(size, np.int64))["size"]
    digest = site.ledger.study(study_id("asked")).current_model
    current = model_file.parse_model(
        site.store().get(object_keys.MODELS, object_keys.model().key(digest), digest), size
    )
    (beyond,) = failed(np.where(current > 0, -(1 << 18), 1 << 18) - current).values()
    assert beyond == "Every weight has to move by less than 4."
    assert "held-out samples of this hospital it gets" in failed(contrary(site, play) - current)["accuracy"]


def test_a_file_that_is_no_model_of_the_study_is_refused(
    site: Installed, play: Play, finished: RoundId, tmp_path: Path
) -> None:
    (tmp_path / "other.safetensors").write_bytes(model_bytes(np.zeros(7, np.int64)))
    with pytest.raises(EvidenceRejected, match="another study's model"):
        check_model("asked", ASTER, tmp_path / "other.safetensors", site.settings)


def test_the_command_predicts_rows_with_the_card_and_the_warning(
    site: Installed, finished: RoundId, wardround: object, tmp_path: Path
) -> None:
    assert callable(wardround)
    own = pd.read_csv(records_folder(site.settings.hospital(ASTER), "breast_cancer") / "records.csv")
    own.drop(columns=["label", "split"]).to_csv(tmp_path / "new.csv", index=False)
    done = wardround("predict", "asked", str(tmp_path / "new.csv"), "--as", "aster")
    assert done.exit_code == 0, done.output
    assert WARNING in done.stdout
    digest = site.ledger.study(study_id("asked")).current_model
    assert f"{digest}, of round {finished}, after 1 rounds; the development chain vouches for it" in done.stdout
    answered = json.loads(wardround("predict", "asked", str(tmp_path / "new.csv"), "--as", "aster", "--json").stdout)
    assert answered["card"]["warning"] == WARNING
    assert answered["card"]["model"] == digest
    assert set(answered["card"]["hospitals"]) == set(HOSPITALS[:5])
    right = [answer["label"] == label for answer, label in zip(answered["answers"], own["label"], strict=True)]
    # one round's model: which samples judge it is drawn anew each time, and with them who is in it
    assert np.mean(right) > own["label"].value_counts(normalize=True).max() + 0.05
    assert [answer["record"] for answer in answered["answers"]] == own["record_id"].tolist()


def test_one_row_comes_by_standard_input_and_a_value_beyond_the_contract_is_told_by_its_column(
    site: Installed, finished: RoundId, wardround: object
) -> None:
    assert callable(wardround)
    row = dict(
        zip(
            [column.name for column in BreastCancer.columns], BreastCancer().load([])[1].values[0].tolist(), strict=True
        )
    )
    done = wardround("predict", "asked", "-", "--as", "aster", "--json", text=json.dumps(row))
    assert [answer["record"] for answer in json.loads(done.stdout)["answers"]] == ["row 1"]
    done = wardround("predict", "asked", "-", "--as", "aster", text=json.dumps(row | {"mean radius": 4711}))
    assert isinstance(done.exception, FileRejected)
    assert (
        str(done.exception)
        == "mean radius lies outside 0 to 60 in row 1 of standard input; another unit, or a typing error?"
    )


def test_a_model_whose_bytes_are_others_or_that_the_ledger_disowns_predicts_nothing(
    site: Installed, finished: RoundId, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.chain.ledger import Ledger

    monkeypatch.setattr(Ledger, "verify_model", lambda *_: False)
    with pytest.raises(EvidenceRejected, match="the ledger does not vouch for model"):
        Predictor.open("asked", ASTER, site.settings)
