"""What a hospital gains: the study's model beside models of its own records, told at the hospital and nowhere else."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pipeline.cli import commands
from pipeline.datasets import records
from pipeline.domain import HospitalName, Kind, RoundId
from pipeline.errors import Refused
from pipeline.train.alone import trained_alone
from pipeline.train.baselines import classical
from pipeline.train.network import accuracy
from pipeline.views.gain import RIVALS, TRAINED_ON, gain
from pipeline.views.observer import Observer
from tests.support.memory.site import MemorySite
from tests.support.rounds import Play

ASTER = HospitalName("aster")


@pytest.fixture(scope="module")
def finished(site: MemorySite) -> tuple[Play, RoundId]:
    deadlines = {"commit_seconds": 600, "result_seconds": 900}
    play = site.play("gains", hospitals=["aster", "birch", "cedar"], measures="scores", deadlines=deadlines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.measures.scores.LEAST_SCORED", 1)  # the tests' hospitals are small
        play.round("first")
        return play, play.round("second")


def test_the_study_s_model_is_measured_as_it_was_confirmed_and_own_models_beside_it(
    site: MemorySite, finished: tuple[Play, RoundId]
) -> None:
    play, round_id = finished
    before = site.traces()
    found = gain(play.study.name, ASTER, site.settings)
    assert site.traces() == before
    assert found.round == round_id
    federated, network, *rest = found.rivals
    confirmed = site.said(round_id, Kind.CONFIRMATION, ASTER).body
    assert (federated.trained, federated.only_this, federated.only_federated) == ("federated", 0, 0)
    assert federated.measures.accuracy is not None
    assert federated.measures.accuracy.value == confirmed["correct"] / confirmed["tested"]
    own = records.read(site.settings.hospital(ASTER), play.study.source)
    alone = accuracy(trained_alone(play.study, own.train, 2, ASTER), play.study.network, own.test)
    assert network.measures.accuracy is not None
    assert network.measures.accuracy.value == alone[0] / alone[1]
    assert alone[0] - confirmed["correct"] == network.only_this - network.only_federated
    assert [(rival.model, rival.trained) for rival in rest] == [(name, "own") for name in classical(own.train, 1)]
    assert federated.measures.auc is not None
    assert network.measures.auc is not None
    told = json.loads(json.dumps(found.to_json()))
    assert told["rivals"][1]["measures"]["auc"] == network.measures.auc.to_json()


def test_own_models_see_no_record_of_anybody_else(site: MemorySite, finished: tuple[Play, RoundId]) -> None:
    play, _ = finished
    mine = gain(play.study.name, ASTER, site.settings)
    elsewhere = site.settings.hospital(HospitalName("birch")) / "data"
    hidden = elsewhere.rename(elsewhere.with_name("hidden"))
    try:
        assert gain(play.study.name, ASTER, site.settings) == mine
    finally:
        hidden.rename(elsewhere)


def test_a_pooled_model_takes_everybody_s_records_and_is_refused_without_them(
    site: MemorySite, finished: tuple[Play, RoundId]
) -> None:
    play, _ = finished
    *_, pooled = gain(play.study.name, ASTER, site.settings, pooled=True).rivals
    assert (pooled.model, pooled.trained) == ("network", "pooled")
    everybody = [records.read(site.settings.hospital(name), play.study.source).train for name in play.study.hospitals]
    assert sum(map(len, everybody)) > len(everybody[0])
    home = site.settings.hospital(HospitalName("cedar"))
    away = home.rename(home.with_name("elsewhere"))
    try:
        with pytest.raises(Refused, match="got no folder of cedar on this machine"):
            gain(play.study.name, ASTER, site.settings, pooled=True)
    finally:
        away.rename(home)


def test_the_command_shows_each_model_with_its_intervals_and_the_round_s_scores_are_shown(
    site: MemorySite, finished: tuple[Play, RoundId], monkeypatch: pytest.MonkeyPatch
) -> None:
    play, round_id = finished
    monkeypatch.setenv("WARDROUND_HOME", str(site.settings.home))
    monkeypatch.setenv("WARDROUND_STUDIES", str(site.settings.studies))
    # So wide that no cell is broken; COLUMNS is read once, when the module is loaded.
    monkeypatch.setattr("pipeline.cli.models._console.width", 200)
    asked = CliRunner().invoke(commands, ["model", "compare", play.study.name, "--as", ASTER])
    assert asked.exit_code == 0
    found = gain(play.study.name, ASTER, site.settings)
    for rival in found.rivals:
        assert str(rival.measures.balanced_accuracy) in asked.stdout
        assert RIVALS[rival.model] in asked.stdout
    assert "Nothing was sent." in asked.stdout
    shown = CliRunner().invoke(commands, ["show", str(round_id)])
    view = Observer.open(site.settings).view(round_id)
    assert view.measures is not None
    for row in view.measures.classes:
        assert row.discrimination is not None
        assert f"{row.name}: sensitivity {row.sensitivity}, specificity {row.specificity}, AUC" in shown.stdout
        assert row.discrimination.auc.decimal in shown.stdout
    assert "aster: AUC" in shown.stdout


def test_before_the_first_model_there_is_nothing_to_compare(site: MemorySite) -> None:
    play = site.play("gains_nothing", hospitals=["aster", "birch", "cedar"])
    with pytest.raises(Refused, match="no round has ended in a model yet"):
        gain(play.study.name, ASTER, site.settings)


def test_every_rival_has_words(site: MemorySite, finished: tuple[Play, RoundId]) -> None:
    own = records.read(site.settings.hospital(ASTER), finished[0].study.source).train
    assert {"network", *classical(own, 1)} == RIVALS.keys()
    assert {"federated", "own", "pooled"} == TRAINED_ON.keys()
