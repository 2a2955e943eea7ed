"""Rounds that count by groups of patients: each hospital's counts stay secret, totals above the floor are opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from rich.console import Console
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, recall_score

from pipeline.audit.round_evidence import HistoryEvidence
from pipeline.audit.round_record import RecordSubgroups, RoundRecord
from pipeline.audit.subgroups import counted_hospitals, subgroups
from pipeline.cli.audit import print_round
from pipeline.datasets import records
from pipeline.datasets.records import records_folder
from pipeline.domain import HospitalName, RoundId
from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import canonical_json
from pipeline.measures.estimates import measures
from pipeline.measures.subgroups import Counts, Layout, Words
from pipeline.model_file import read_model
from pipeline.report.render import metrics
from pipeline.round.counts import counts
from pipeline.round.worker import RoundContext
from pipeline.store import object_keys
from pipeline.train import network
from pipeline.views.observer import Observer
from tests.adversary import attack
from tests.support.canaries import stored
from tests.support.dealers import Dealing, shared_vector
from tests.support.installed import HOSPITALS, Installed
from tests.support.rounds import Play

FIVE = HOSPITALS[:5]
ASTER, *_, ELM = FIVE
PATIENTS = 150
CLASSES = ("recovered", "septic")
TABLE = {
    "columns": {"lactate": [0, 30], "age": [0, 120], "sex": {"codes": [0, 1]}},
    "classes": list(CLASSES),
    "scale": "range",
}
BY: dict[str, Any] = {
    "sex": {"names": ["women", "men"]},
    "age": {"bands": [30, 60]},
    "ward": {"categories": ["north", "south"]},
}
STUDY = {
    "hospitals": list(FIVE),
    "model": [{"Linear": {"out_features": 2}}],
    "training": {"steps": 12, "batch_size": 32},
    "rule": {"images_per_hospital": 32},
    "measures": "scores",
}
YOUNG = {ASTER: 4}
"""Patients below 30 at this hospital; there are none elsewhere."""


def patients(hospital: HospitalName) -> pd.DataFrame:
    """Two records of each patient, of which every other patient is for testing; men are harder to tell."""
    rng = np.random.default_rng(HOSPITALS.index(hospital))
    septic = rng.random(PATIENTS) < 0.5
    men = rng.random(PATIENTS) < 0.6
    age = rng.integers(30, 95, PATIENTS)
    age[1 : 2 * YOUNG.get(hospital, 0) : 2] = 25
    lactate = np.clip(rng.normal(np.where(septic, 6, 3) + np.where(men, 0, septic * 4), 2), 0, 30).round(2)
    ward = np.where(rng.random(PATIENTS) < 0.1, None, rng.choice(["north", "south"], PATIENTS))
    table = pd.DataFrame(
        {
            "record_id": [f"{hospital}-{row}" for row in range(PATIENTS)],
            "patient": [f"{hospital}-patient-{row}" for row in range(PATIENTS)],
            "split": np.where(np.arange(PATIENTS) % 2, "test", "train"),
            "lactate": lactate,
            "age": age,
            "sex": men.astype(int),
            "ward": ward,
            "label": np.where(septic, "septic", "recovered"),
        }
    )
    again = table.assign(record_id=table["record_id"] + "-again", lactate=(table["lactate"] + 0.5).clip(0, 30))
    return pd.concat([table, again], ignore_index=True)


def with_few(table: pd.DataFrame, septic: int) -> pd.DataFrame:
    """The table with so many septic records for testing."""
    tests = table["split"].eq("test") & table["label"].eq("septic")
    return table[~tests | tests.cumsum().le(septic)]


def keep(site: Installed, name: str, hospital: HospitalName, table: pd.DataFrame) -> None:
    folder = records_folder(site.settings.hospital(hospital), name)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "records.csv", index=False)


def started(site: Installed, name: str, **changes: Any) -> Play:
    for hospital in FIVE:
        keep(site, name, hospital, patients(hospital))
    return site.play(name, **{"dataset": name, "table": TABLE, "subgroups": {"by": BY}, **STUDY, **changes})


def counted(site: Installed, round_id: RoundId) -> RecordSubgroups:
    told = RoundRecord.from_bytes(canonical_json(site.record(round_id))).subgroups
    assert told is not None
    return told


def by_name(told: RecordSubgroups) -> dict[str, Counts | None]:
    assert told.groups is not None
    layout = Layout(CLASSES, told.scored, (1,))
    return {
        f"{group.column}: {group.name}": None if group.counts is None else layout.read(np.array(group.counts))[0]
        for group in told.groups
    }


@pytest.fixture(scope="module")
def play(site: Installed) -> tuple[Play, RoundId]:
    """Two rounds: the second one counts what the first one's model answers."""
    play = started(site, "grouped")
    play.round("first")
    second = play.round("second")
    assert play.absences == {}
    return play, second


def pooled(site: Installed, play: Play, round_id: RoundId) -> pd.DataFrame:
    """All hospitals' test records with label, answer and the groups' columns."""
    state = site.ledger.round(round_id)
    model = read_model(site.board().fetch(object_keys.model(), state.opened.previous_model))
    parts = []
    for name in FIVE:
        test = records.read(site.settings.hospital(name), play.study.source).test
        shares = network.probabilities(model.parameters, play.study.network, test.inputs)
        rows = patients(name)
        rows = rows[rows["split"] == "test"]
        parts.append(rows.assign(truth=test.labels, answer=shares.argmax(axis=1), score=shares[:, 1]))
    return pd.concat(parts)


def test_each_groups_counts_are_those_of_the_pooled_records(site: Installed, play: tuple[Play, RoundId]) -> None:
    told = counted(site, play[1])
    assert told.hospitals == FIVE
    assert told.broke == ()
    groups = by_name(told)
    everybody = pooled(site, *play)
    rows: dict[str, npt.NDArray[np.bool_]] = {
        "sex: women": (everybody["sex"] == 0).to_numpy(),
        "sex: men": (everybody["sex"] == 1).to_numpy(),
        "age: 60 or more": (everybody["age"] >= 60).to_numpy(),
        "ward: north": (everybody["ward"] == "north").to_numpy(),
        "ward: south": (everybody["ward"] == "south").to_numpy(),
        "ward: not stated": everybody["ward"].isna().to_numpy(),
    }
    for name, chosen in rows.items():
        found = groups[name]
        of_group = everybody[chosen]
        assert found is not None, name
        assert [list(row) for row in found.confusion.counts] == confusion_matrix(
            of_group["truth"], of_group["answer"], labels=[0, 1]
        ).tolist()
        assert list(found.patients) == [of_group[of_group["truth"] == label]["patient"].nunique() for label in (0, 1)]
        assert found.scores is not None
        own = np.histogram(of_group[of_group["truth"] == 1]["score"], np.linspace(0, 1, 11))[0]
        assert list(found.scores.told[0].own) == own.tolist()
        measured = measures(found.confusion, found.scores)
        assert measured.balanced_accuracy is not None
        assert measured.balanced_accuracy.value == pytest.approx(
            balanced_accuracy_score(of_group["truth"], of_group["answer"])
        )
        sensitivity = measured.classes[1].sensitivity
        assert sensitivity is not None
        assert sensitivity.value == pytest.approx(recall_score(of_group["truth"], of_group["answer"]))


def test_a_group_below_the_floor_is_withheld_and_so_is_the_one_that_would_give_it_away(
    site: Installed, play: tuple[Play, RoundId]
) -> None:
    groups = by_name(counted(site, play[1]))
    assert [name for name, found in groups.items() if found is None] == ["age: below 30", "age: 30 to below 60"]


def test_the_round_audits(site: Installed, play: tuple[Play, RoundId]) -> None:
    report = site.audit(play[1])
    assert report.passed, report.first_problem
    said = next(check.detail for check in report.checks if check.name == "subgroups")
    assert said == f"6 of 8 groups told, of {PATIENTS * len(FIVE)} test records of 5 hospitals"


@attack(
    by="stranger",
    to="learn",
    tries="to read a hospital's own counts by subgroup in what a round leaves behind",
    costs="nothing",
    seen="nothing",
)
def test_no_hospitals_own_counts_by_subgroup_are_in_any_object_of_the_round(
    site: Installed, play: tuple[Play, RoundId]
) -> None:
    kept = stored(site, f"rounds/{play[1]}/")
    assert any(b'"subgroups"' in data for data in kept)
    for name in FIVE:
        ctx = site.hospital_context(play[0], play[1], name)
        layout = ctx.study.counted
        assert layout is not None
        vector, tested = counts(ctx, layout)
        assert tested == PATIENTS
        own = [layout.read(vector)[place] for place in range(sum(layout.groups))]
        # A matrix with its patients, as a record would spell it or as a vector would hold it.
        spelled = [canonical_json([*np.ravel(one.confusion.counts).tolist(), *one.patients])[1:-1] for one in own]
        words = [row[:6].astype("<i8").tobytes() for row in vector.reshape(-1, layout.words)]
        some = [one.confusion.tested > 0 for one in own]
        assert sum(some) >= 6
        for filled, *forms in zip(some, spelled, words, strict=True):
            assert not filled or not any(form in data for form in forms for data in kept)


def test_everybody_reads_the_groups_alike(site: Installed, play: tuple[Play, RoundId]) -> None:
    observer = Observer.open(site.settings)
    view = observer.view(play[1])
    found = view.subgroups
    assert found is not None
    assert found.because == ""
    assert [row.remark for row in found.rows] == ["withheld", "withheld", "", "", "", "", "", ""]
    women = next(row for row in found.rows if row.name == "women")
    assert women.measures is not None
    assert metrics(view)["subgroups"]["sex"]["women"] == women.measures.to_json()
    assert metrics(view)["subgroups"]["age"]["below 30"] is None
    page = observer.page(play[1], site.settings)
    assert "Whom the model fails" in page
    assert str(women.sensitivities[1]) in page
    console = Console(record=True, width=200)
    print_round(view, console)
    shown = console.export_text()
    assert f"sex: women: sensitivity of recovered {women.sensitivities[0]}; septic {women.sensitivities[1]}" in shown
    assert "age: below 30: withheld" in shown


def test_a_round_without_one_of_the_hospitals_opens_no_totals_and_the_next_one_with_all_does(site: Installed) -> None:
    play = started(site, "grouped_absent")
    first = play.round("first")
    assert counted(site, first).hospitals == FIVE
    second = play.open("second")
    play.hospitals(second, FIVE[:4])
    play.decide(second)
    told = counted(site, second)
    assert told.hospitals == FIVE
    assert told.groups is None
    site.audits(second)
    assert "elm did not take part" in Observer.open(site.settings).page(second, site.settings)
    third = play.round("third")
    assert counted(site, third).groups is not None
    site.audits(third)


@attack(
    by="stranger",
    to="learn",
    tries="to have, from the totals of all groups less the public matrices, that of a hospital with few patients",
    costs="nothing",
    seen="nothing",
)
@pytest.mark.parametrize(("measures", "septic"), [("confusion", 4), ("scores", 9)])
def test_a_hospital_that_keeps_its_matrix_or_scores_back_is_never_counted(
    site: Installed, measures: str, septic: int
) -> None:
    name = f"grouped_few_{measures}"
    play = started(site, name, measures=measures)
    keep(site, name, ELM, with_few(patients(ELM), septic))
    first = play.round("first")
    told = counted(site, first)
    assert (told.hospitals, told.uncounted, told.broke) == (FIVE[:4], (ELM,), ())
    assert told.groups is not None
    assert sum(found.confusion.tested for key, found in by_name(told).items() if found and "sex" in key) == 4 * PATIENTS
    site.audits(first)
    assert "too few test records of some class: elm" in Observer.open(site.settings).page(first, site.settings)
    # Counted from now on, it would be what two rounds differ by.
    keep(site, name, ELM, patients(ELM))
    told = counted(site, play.round("second"))
    assert (told.hospitals, told.uncounted) == (FIVE[:4], ())
    # One of those that are counted falls below.
    keep(site, name, ASTER, with_few(patients(ASTER), septic))
    third = play.round("third")
    told = counted(site, third)
    assert (told.hospitals, told.uncounted, told.groups) == (FIVE[:4], (ASTER,), None)
    site.audits(third)
    assert "aster had too few test records" in Observer.open(site.settings).page(third, site.settings)


def before_the_last_shares(site: Installed, name: str) -> tuple[Play, RoundId, RoundContext, Layout]:
    """A round in which all but the last hospital have handed in, and that one has trained."""
    play = started(site, name)
    round_id = play.open()
    play.hospitals(round_id, FIVE[:4])
    for step in ("validate", "train"):
        play.hospital(step, round_id, ELM)
    ctx = site.hospital_context(play, round_id, ELM)
    layout = ctx.study.counted
    assert layout is not None
    return play, round_id, ctx, layout


def lied(site: Installed, name: str, change: Callable[[Words], Words]) -> RecordSubgroups:
    """What stands in the record of a round in which the last hospital changed its counts."""
    play, round_id, ctx, layout = before_the_last_shares(site, name)
    vector, tested = counts(ctx, layout)
    dealing = Dealing.honest(ctx, np.concatenate([shared_vector(ctx), change(vector.copy())]))
    dealing.post(dealing.manifest(tested=tested))
    play.decide(round_id)
    site.audits(round_id)
    assert ELM in site.record(round_id)["inputs"]
    return counted(site, round_id)


def _more(vector: Words) -> Words:
    vector[0] += 1
    return vector


def _below_zero(vector: Words) -> Words:
    vector[:2] += np.array([-1, 1]) * (vector[0] + 1)
    return vector


def _wrapped(vector: Words) -> Words:
    vector[0] = np.iinfo(np.int64).min
    return vector


@attack(
    by="hospital",
    to="change",
    tries="to count more test records by subgroup than it has, or fewer than none",
    costs="its place among those that are counted",
    seen="that its counts broke their bounds, with its name",
)
@pytest.mark.parametrize("change", [_more, _below_zero, _wrapped])
def test_counts_that_break_their_bounds_are_not_summed(site: Installed, change: Callable[[Words], Words]) -> None:
    told = lied(site, f"lied{change.__name__}", change)
    assert told.broke == (ELM,)
    assert told.hospitals == FIVE[:4]
    assert told.groups is not None


def test_a_manifest_without_the_number_of_test_records_is_none(site: Installed) -> None:
    play, round_id, ctx, layout = before_the_last_shares(site, "grouped_unsigned")
    Dealing.honest(ctx, np.concatenate([shared_vector(ctx), counts(ctx, layout)[0]])).post()
    play.decide(round_id)
    assert site.record(round_id)["absent"] == {ELM: "forged_manifest"}


def test_an_audit_refuses_what_is_told_below_the_floor_or_over_other_hospitals(
    site: Installed, play: tuple[Play, RoundId], monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = HistoryEvidence(play[1], site.ledger, site.store())
    true = evidence.record.subgroups
    assert true is not None
    assert true.groups is not None

    def check(problem: str, step: Callable[[HistoryEvidence], str] = subgroups, **changes: Any) -> None:
        changed = evidence.record.model_copy(update={"subgroups": true.model_copy(update=changes)})
        with monkeypatch.context() as patch:
            patch.setattr(evidence, "record", changed)
            with pytest.raises(EvidenceRejected, match=problem):
                step(evidence)

    check("summed over aster, birch, cedar, dahlia, want aster", counted_hospitals, hospitals=FIVE[:4])
    check("got fewer patients of a class than 200", floor=200)
    check("got no totals by subgroup", groups=None)
    check("got elm as hospitals that counted nothing, want nobody", uncounted=(ELM,))
    halved = [
        group.model_copy(update={"counts": group.counts and tuple(one // 2 for one in group.counts)})
        for group in true.groups
    ]
    check("do not add up|want those of", groups=tuple(halved))
    one_withheld = [
        group.model_copy(update={"counts": None}) if group.name == "women" else group for group in true.groups
    ]
    check("got all groups but one", groups=tuple(one_withheld))
