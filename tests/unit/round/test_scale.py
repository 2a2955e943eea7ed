"""Studies that leave mean and deviation of their inputs to the first round, which measures them under encryption."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from pipeline.audit.history import input_scale
from pipeline.audit.round_evidence import HistoryEvidence
from pipeline.audit.round_record import RoundRecord
from pipeline.cli import demo
from pipeline.datasets import measured, records
from pipeline.datasets.records import records_folder
from pipeline.domain import COORDINATE_CAP, RoundId, RoundStatus
from pipeline.errors import EvidenceRejected, InvalidStudy, Refused, TooFew
from pipeline.evidence.canonical import canonical_json
from pipeline.governance import versions
from pipeline.governance.versions import Wanted
from pipeline.host import ports
from pipeline.ingest import kept_scale
from pipeline.model_file import Model, Scale, read_model
from pipeline.replay.reproduce import reproduce
from pipeline.round import training
from pipeline.round.continuation import predecessor
from pipeline.round.study_history import lineage
from pipeline.store import object_keys
from pipeline.study.study import Study
from pipeline.train.__main__ import app
from pipeline.train.initial import initial_model
from pipeline.views.observer import Observer
from pipeline.views.precheck import check_model
from pipeline.views.prediction import Predictor
from tests.adversary import attack
from tests.support.canaries import files_with, stored
from tests.support.dealers import Dealing, shared_vector, trained
from tests.support.installed import HOSPITALS, Installed
from tests.support.pictures import CANARY
from tests.support.rounds import Play

FIVE = HOSPITALS[:5]
ASTER, BIRCH, CEDAR, DAHLIA, ELM = FIVE
ROWS = 160
COLUMNS: dict[str, Any] = {
    "lactate": [0, 30],
    "age": [0, 120],
    "sex": {"codes": [0, 1]},
    "heart_rate": {"lowest": 20, "highest": 300, "empty": "flagged"},
}
TABLE = {"columns": COLUMNS, "classes": ["recovered", "septic"]}
STUDY = {
    "hospitals": list(FIVE),
    "model": [{"Linear": {"out_features": 2}}],
    "training": {"steps": 12, "batch_size": 32},
    "rule": {"images_per_hospital": 32},
}


def patients(seed: int) -> pd.DataFrame:
    """Lactate of 1 to 6 tells most of the outcome; one heart rate in ten is missing."""
    rng = np.random.default_rng(seed)
    septic = rng.random(ROWS) < 0.5
    return pd.DataFrame(
        {
            "record_id": [f"{CANARY}-{row}" for row in range(ROWS)],
            "lactate": np.clip(rng.normal(np.where(septic, 3.6, 1.6), 0.6), 0, 30).round(2),
            "age": rng.integers(20, 95, ROWS),
            "sex": rng.integers(0, 2, ROWS),
            "heart_rate": np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(85, 15, ROWS).round()),
            "label": np.where(septic, "septic", "recovered"),
        }
    )


def deal(site: Installed, name: str) -> None:
    for seed, hospital in enumerate(FIVE):
        folder = records_folder(site.settings.hospital(hospital), name)
        folder.mkdir(parents=True)
        patients(seed).to_csv(folder / "records.csv", index=False)


def started(site: Installed, name: str, **changes: Any) -> Play:
    deal(site, name)
    return site.play(name, **{"dataset": name, "table": TABLE, **STUDY, **changes})


def scale_after(site: Installed, round_id: RoundId) -> Scale:
    finalised = site.ledger.round(round_id).finalised
    assert finalised is not None
    scale = read_model(site.board().fetch(object_keys.model(), finalised.new_model)).scale
    assert scale is not None
    return scale


@pytest.fixture(scope="module")
def play(site: Installed) -> tuple[Play, RoundId]:
    """A study whose first round has measured what it left out, and whose second one has trained."""
    play = started(site, "scaled")
    first = play.round("first")
    assert play.absences == {}
    with pytest.raises(Refused, match="measured the scale of the inputs and trained nothing; run another"):
        Predictor.open("scaled", ASTER, site.settings)
    play.round("second")
    return play, first


def test_the_first_round_measures_what_the_study_leaves_out(site: Installed, play: tuple[Play, RoundId]) -> None:
    study, first = play[0].study, play[1]
    assert [one.name for one in study.source.measured] == ["lactate", "age", "heart_rate"]
    record = site.record(first)
    assert record["verdicts"] == dict.fromkeys(FIVE, "accepted")
    assert (record["budget"], record["next_budget"], record["averaged"]) == (None, None, 3)
    scale = scale_after(site, first)
    pooled = pd.concat([patients(seed) for seed in range(len(FIVE))])
    for place, one in enumerate(study.source.measured):
        assert scale.means[place] == pytest.approx(pooled[one.name].mean(), abs=0.2 * pooled[one.name].std())
        assert scale.deviations[place] == pytest.approx(pooled[one.name].std(), rel=0.1)


def test_its_round_trains_nothing_and_the_next_one_is_a_first_round(
    site: Installed, play: tuple[Play, RoundId]
) -> None:
    first = site.ledger.round(play[1])
    assert first.finalised is not None
    before, after = (
        read_model(site.board().fetch(object_keys.model(), digest))
        for digest in (first.opened.previous_model, first.finalised.new_model)
    )
    assert before.scale is None
    assert before.parameters.tolist() == after.parameters.tolist()
    second = RoundId(play[1] + 1)
    record = site.record(second)
    assert record["budget"] is None
    assert record["next_budget"] is not None
    assert scale_after(site, second) == after.scale
    past = lineage(site.hospital_context(play[0], second, ASTER).worker)
    assert past.finished == 1
    assert past.verdicts(ASTER) == (True,)


def test_models_get_their_panels_from_the_second_round_on(site: Installed) -> None:
    play = started(site, "scaled_with_panels", rule={"images_per_hospital": 32, "panel": 3, "strikes": 1})
    first = play.round("first")
    measured = site.record(first)
    assert (measured["panel"], measured["seed"]) == (3, None)
    second = play.round("second")
    assert site.record(second)["seed"] is not None
    for round_id in (first, second):
        site.audits(round_id)


def test_both_rounds_audit(site: Installed, play: tuple[Play, RoundId]) -> None:
    for round_id, detail in (
        (play[1], "measured of 3 inputs, 3 hospitals in the middle of each"),
        (play[1] + 1, "kept"),
    ):
        report = site.audit(RoundId(round_id))
        assert report.passed, report.first_problem
        assert detail in next(check.detail for check in report.checks if check.name == "input scale")


def test_hospitals_train_predict_and_answer_as_if_the_constants_had_been_given(
    site: Installed, play: tuple[Play, RoundId]
) -> None:
    scale = scale_after(site, play[1])
    given = {
        name: {"lowest": spec[0], "highest": spec[1]} if isinstance(spec, list) else dict(spec)
        for name, spec in COLUMNS.items()
    }
    for one, mean, deviation in zip(play[0].study.source.measured, scale.means, scale.deviations, strict=True):
        given[one.name] |= {"mean": mean, "deviation": deviation}
    hand = play[0].study.model_validate(
        play[0].study.model_dump() | {"table": TABLE | {"columns": given, "scale": "range"}}
    )
    context = site.hospital_context(play[0], RoundId(play[1] + 1), ASTER)
    home = site.settings.hospital(ASTER)
    assert context.study.source.measured == ()
    ours, theirs = (records.read(home, study.source).train for study in (context.study, hand))
    assert ours.inputs.tolist() == theirs.inputs.tolist()
    assert ours.inputs[:, 0].std() == pytest.approx(256, rel=0.2)
    predictor = Predictor.open("scaled", ASTER, site.settings)
    answers = predictor.predict(predictor.study.source.questions(records_folder(home, "scaled") / "records.csv"))
    labels = patients(0)["label"]
    assert np.mean([answer.label == label for answer, label in zip(answers, labels, strict=True)]) > 0.85
    assert predictor.card.scale["lactate"] == (scale.means[0], scale.deviations[0])


def test_a_precheck_waits_for_the_scale(site: Installed) -> None:
    started(site, "unmeasured")
    with pytest.raises(Refused, match="its next round measures the scale of its inputs and trains nothing"):
        check_model("unmeasured", ASTER, settings=site.settings)
    study = Study.load(site.settings.studies / "unmeasured.yaml")
    with pytest.raises(Refused, match="got no mean and deviation of lactate yet"):
        records.read(site.settings.hospital(ASTER), study.source)


def test_a_hospital_keeps_the_scale_for_its_own_checks(site: Installed, play: tuple[Play, RoundId]) -> None:
    homes = [site.settings.hospital(name) for name in FIVE]
    assert {kept_scale.kept([home], play[0].study) for home in homes} == {scale_after(site, play[1])}
    assert all((home / "scales" / "scaled.json").is_file() for home in homes)
    assert not any(CANARY.encode() in data for data in stored(site))
    assert all(any(path.is_relative_to(home / "data") for home in homes) for path in files_with(site, CANARY))


def test_a_report_and_plain_averaging_read_the_study_with_its_recorded_scale(
    site: Installed, play: tuple[Play, RoundId], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = RoundId(play[1] + 1)
    observer = Observer.open(site.settings)
    assert "measured the scale" in observer.page(play[1], site.settings)
    assert "measured the scale" not in observer.page(second, site.settings)
    study = play[0].study
    console = Console(record=True, width=120)
    demo._compare(site.settings, study, observer, observer.views(study), console)
    shown = console.export_text()
    assert f"│ {second}" in shown
    assert f"│ {play[1]} " not in shown
    quiet = Console(record=True, width=120)
    demo._compare(site.settings, study, observer, observer.views(study)[:1], quiet)
    assert "The round measured the scale of the inputs and trained nothing" in quiet.export_text()
    monkeypatch.setenv("WARDROUND_HOME", str(site.settings.home))
    ended = observer.view(second).model
    assert ended is not None
    (tmp_path / "model").write_bytes(observer.model(ended).to_bytes())
    asked = ["undefended", "--study", str(site.settings.studies / "scaled.yaml"), "--rounds", str(second), "--out"]
    out = tmp_path / "plain.json"
    assert CliRunner().invoke(app, [*asked, str(out), "--model", str(tmp_path / "model")]).exit_code == 0
    assert json.loads(out.read_text())[str(second)] > 0.8
    refused = CliRunner().invoke(app, [*asked, str(out)])
    assert "--model: got none with the scale of scaled" in str(refused.exception)


@attack(
    by="hospital",
    to="change",
    tries="to spoil the scale of everybody's inputs by what it says of its own",
    costs="nothing within the range of the data contract; beyond it a strike",
    seen="its rejection beyond the range, with its name; within it nothing",
)
@pytest.mark.parametrize("end", [COORDINATE_CAP - 1, COORDINATE_CAP], ids=["at the end", "beyond"])
def test_a_hospital_that_lies_about_its_inputs_moves_no_constant_past_the_others(site: Installed, end: int) -> None:
    name = f"lied_{end + COORDINATE_CAP}"
    play = started(site, name)
    round_id = play.open()
    play.hospitals(round_id, FIVE[:4])
    honest = np.stack([shared_vector(site.hospital_context(play, round_id, one)) for one in FIVE[:4]])
    dealing = trained(site, play, round_id, ELM)
    Dealing.honest(dealing.ctx, np.full(dealing.length, end)).post()
    play.decide(round_id)
    assert site.record(round_id)["verdicts"][ELM] == ("rejected" if end == COORDINATE_CAP else "accepted")
    scale = scale_after(site, round_id)
    inputs = play.study.source.measured
    lowest = measured.constants(inputs, honest.min(axis=0), 1)
    highest = measured.constants(inputs, honest.max(axis=0), 1)
    for got, low, high in zip((scale.means, scale.deviations), lowest, highest, strict=True):
        assert all(a <= b <= c for a, b, c in zip(low, got, high, strict=True))
    site.audits(round_id)


def test_no_model_is_measured_once_it_was_trained(site: Installed) -> None:
    patient = {"commit_seconds": 3000, "result_seconds": 3600}
    play = started(site, "late_scale", table=TABLE | {"scale": "range"}, deadlines=patient)
    play.round()
    file = site.settings.studies / "late_scale.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"table": TABLE}, sort_keys=False))
    site.approve(Study.load(file))
    with pytest.raises(Refused, match="trained before the scale of its inputs was measured"):
        Play("late_scale", site.settings).open("later")
    with pytest.raises(Refused, match=r"on_it: .*constants or `scale: range`, or register"):
        versions.next_version("late_scale", "on_it", Wanted(), site.settings, site.ledger, site.store())


def test_no_scale_of_a_model_is_ignored(play: tuple[Play, RoundId]) -> None:
    study = play[0].study
    assert study.table is not None
    edited = study.model_copy(update={"table": study.table.model_copy(update={"scale": "range"})})
    scaled = Model(initial_model(study), Scale((1.0, 2.0, 3.0), (1.0, 2.0, 3.0)))
    with pytest.raises(Refused, match="has the scale of 3 inputs, and its file leaves 0"):
        edited.at(scaled)


def test_nothing_is_opened_over_fewer_than_three_hospitals(site: Installed) -> None:
    play = started(site, "too_few_scales")
    round_id = play.open()
    play.hospitals(round_id, FIVE[:2])
    for name in FIVE[2:]:
        dealing = trained(site, play, round_id, name)
        Dealing.honest(dealing.ctx, np.full(dealing.length, COORDINATE_CAP)).post()
    play.commit(round_id)
    play.verify(round_id)
    with pytest.raises(TooFew, match="2 hospitals accepted, want at least 3"):
        play.node("aggregate", round_id, play.study.nodes[0])
    assert site.ledger.status(round_id) is RoundStatus.COMMITTED


def test_a_continued_study_takes_the_scale_of_the_model_and_may_not_measure_anything_else(
    site: Installed, play: tuple[Play, RoundId]
) -> None:
    folder = site.settings.studies
    content = yaml.safe_load((folder / "scaled.yaml").read_text())
    content["continues"] = {"study": "scaled", "round": int(play[1]) + 1}

    def continuing(**changes: Any) -> Study:
        (folder / "going_on.yaml").write_text(yaml.safe_dump(content | {"name": "going_on"} | changes, sort_keys=False))
        return Study.load(folder / "going_on.yaml")

    try:
        predecessor(continuing(), folder)
        wider = TABLE | {"columns": COLUMNS | {"lactate": [0, 40]}}
        with pytest.raises(InvalidStudy, match=r"lactate in \[0, 40\].*the same as in scaled.*lactate in \[0, 30\]"):
            predecessor(continuing(table=wider), folder)
    finally:
        (folder / "going_on.yaml").unlink()


def test_both_rounds_are_computed_again_to_the_same_models(
    site: Installed, play: tuple[Play, RoundId], monkeypatch: pytest.MonkeyPatch
) -> None:
    # An engine in memory takes an address for a name.
    monkeypatch.setattr(ports, "choose", lambda count: 30_000)
    study, first = play[0].study, play[1]
    for finished, round_id in ((0, first), (0, RoundId(first + 1))):
        record = RoundRecord.from_bytes(canonical_json(site.record(round_id)))
        previous = read_model(site.board().fetch(object_keys.model(), record.previous_model))
        updates = {}
        for name in FIVE:
            worker = site.hospital_context(play[0], round_id, name).worker
            updates[name] = training.update(worker, name, lineage(worker, round_id), previous, round_id)
        assert reproduce(study, record, previous, updates, finished, site.settings) == record.new_model


def test_a_scale_that_changes_later_or_is_measured_twice_fails_the_audit(
    site: Installed, play: tuple[Play, RoundId], monkeypatch: pytest.MonkeyPatch
) -> None:
    measures, trains = (HistoryEvidence(RoundId(play[1] + later), site.ledger, site.store()) for later in (0, 1))
    other = replace(trains.model(trains.result.new_model), scale=Scale((1.0,), (2.0,)))
    of = trains.model
    monkeypatch.setattr(trains, "model", lambda digest: other if digest == trains.result.new_model else of(digest))
    with pytest.raises(EvidenceRejected, match="its model has another scale than the one that it started from"):
        input_scale(trains)
    monkeypatch.setattr(measures, "model", lambda digest: other)
    with pytest.raises(EvidenceRejected, match="its record says that it measured the inputs' scale; want one in its"):
        input_scale(measures)


def test_a_model_with_the_scale_of_other_inputs_is_refused(play: tuple[Play, RoundId]) -> None:
    study = play[0].study
    other = Model(initial_model(study), Scale((1.0,), (2.0,)))
    with pytest.raises(Refused, match="has the scale of 1 inputs, and its file leaves 3 to be measured"):
        study.at(other)
