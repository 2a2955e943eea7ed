"""Views of rounds, the list of rounds, and the report made of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pipeline.audit.round_record import RoundRecord
from pipeline.chain.ledger import study_id
from pipeline.domain import HospitalName, Kind, Reason, RoundId, RoundStatus, Verdict
from pipeline.evidence.canonical import canonical_json
from pipeline.report import pictures
from pipeline.report.render import (
    ENDS,
    REASONS,
    TRUST,
    calibration_csv,
    history_csv,
    metrics,
    render,
    render_aborted,
    roc_csv,
    verdicts_csv,
)
from pipeline.report.round_list import summaries, summary, views
from pipeline.report.round_view import RoundView, gather
from pipeline.store import object_keys
from pipeline.study.fields import PROTOCOLS
from tests.support.finished_rounds import (
    DictLedger,
    DictStore,
    RoundMaker,
    consortium,
    key,
    model,
    study,
    with_subgroups,
)
from tests.support.promises import LISTED_ROUND

TITLE = "Breast cancer <fine-needle & aspirates>"


@pytest.fixture
def maker() -> RoundMaker:
    of = study()
    members = consortium(of)
    store = DictStore()
    ledger = DictLedger(of, members)
    made = RoundMaker(of, members, store.put, ledger)
    made.start(model(0))
    made.finish(RoundId(1), rejected=["southmoor"])
    made.open(RoundId(2))
    ledger.abort(RoundId(2))
    made.finish(RoundId(3), rejected=["southmoor"], absent=["hillside"], unconfirmed=["eastfield"])
    for actor, stage, seconds in (
        ("northgate", "train", "3.5"),
        ("eastfield", "train", "4.25"),
        ("alder", "verify", "12.5"),
        ("p", "commit", "0.4"),
    ):
        made.post(object_keys.timing(RoundId(3), actor, stage), canonical_json({"seconds": seconds}))
    made.open(RoundId(4))
    return made


def parts(maker: RoundMaker) -> tuple[DictLedger, DictStore]:
    store = maker.put.__self__  # type: ignore[attr-defined]
    assert isinstance(maker.ledger, DictLedger)
    assert isinstance(store, DictStore)
    return maker.ledger, store


def view(maker: RoundMaker, round_id: int) -> RoundView:
    ledger, store = parts(maker)
    return views(ledger.rounds(), ledger, store)[round_id - 1]


def test_the_list_is_oldest_first_and_has_aborted_and_open_rounds(maker: RoundMaker) -> None:
    found = summaries(*parts(maker))
    assert [(item.round, item.status) for item in found] == [
        (1, RoundStatus.FINALISED),
        (2, RoundStatus.ABORTED),
        (3, RoundStatus.FINALISED),
        (4, RoundStatus.OPEN),
    ]
    assert {item.study for item in found} == {"wisconsin"}


def test_an_entry_of_the_list_has_exactly_the_promised_fields(maker: RoundMaker) -> None:
    entry = summaries(*parts(maker))[2].to_json()
    assert tuple(entry) == LISTED_ROUND
    assert entry["verdicts"] == {
        "northgate": "accepted",
        "eastfield": "accepted",
        "westbrook": "accepted",
        "southmoor": "rejected",
        "hillside": "absent",
    }
    assert entry["seconds"] == {"train": 4.25, "commit": 0.4, "verify": 12.5}
    assert entry["model_sha256"] == maker.current
    json.dumps(entry)


def test_what_never_came_to_be_is_null(maker: RoundMaker) -> None:
    aborted, opened = (summaries(*parts(maker))[index].to_json() for index in (1, 3))
    assert (aborted["engine"], aborted["verdicts"], aborted["model_sha256"], aborted["accuracy"]) == (
        None,
        {},
        None,
        None,
    )
    assert aborted["tx"] is not None
    assert opened["tx"] is None


def test_accuracy_counts_the_test_records_of_all_who_confirmed(maker: RoundMaker) -> None:
    found = view(maker, 3)
    assert (found.correct, found.tested) == (23 + 25 + 26 + 27, 34 + 36 + 37 + 38)
    assert found.accuracy == pytest.approx(101 / 145)
    assert {row.name: row.accuracy is None for row in found.hospitals}["eastfield"]


def test_a_study_without_finished_rounds_is_named_by_the_caller(maker: RoundMaker) -> None:
    ledger, store = parts(maker)
    only_open = [ledger.states[RoundId(4)]]
    assert views(only_open, ledger, store)[0].study is None
    assert views(only_open, ledger, store, {study_id("wisconsin"): "wisconsin"})[0].study == "wisconsin"


def test_a_confirmation_of_another_model_counts_for_nothing(maker: RoundMaker) -> None:
    _, store = parts(maker)
    place = object_keys.statement(RoundId(3), Kind.CONFIRMATION, HospitalName("northgate"))
    ((_, key),) = [found for found in store.objects if found[1].startswith(place.prefix)]
    store.flip(place.bucket, key)
    assert view(maker, 3).hospitals[0].tested is None


def _confirm(maker: RoundMaker, hospital: str, body: Mapping[str, object]) -> None:
    """Have a hospital say this of the third round's model."""
    ledger, _ = parts(maker)
    state = ledger.states[RoundId(3)]
    maker.current = state.opened.previous_model
    assert state.result is not None
    maker.say(RoundId(3), Kind.CONFIRMATION, hospital, {"model": state.result.new_model, **body})


@pytest.mark.parametrize(
    ("stage", "seconds"),
    [("$\\frac{", "1.0"), ("train", "nan"), ("train", "-1"), ("train", "1e300"), ("train", ["5"]), ("<script>", "1")],
)
def test_a_timing_of_another_form_is_left_out_and_harms_nothing(maker: RoundMaker, stage: str, seconds: object) -> None:
    before = view(maker, 3).seconds
    maker.post(object_keys.timing(RoundId(3), "westbrook", stage), canonical_json({"seconds": seconds}))
    assert view(maker, 3).seconds == before


@pytest.mark.parametrize(
    "body",
    [
        {"correct": "all", "tested": 9},
        {"correct": 10, "tested": 9},
        {"correct": -1, "tested": 9},
        {"correct": True, "tested": True},
        {"correct": 1, "tested": 10**12},
    ],
)
def test_a_confirmation_of_another_form_counts_for_nothing(maker: RoundMaker, body: dict[str, object]) -> None:
    _confirm(maker, "eastfield", body)
    assert view(maker, 3).hospitals[1].tested is None
    assert view(maker, 3).tested == 34 + 36 + 37 + 38


def test_the_matrices_of_those_that_told_theirs_add_up_and_have_intervals(maker: RoundMaker) -> None:
    shown = view(maker, 3).to_json()
    rows = [row["confusion"] for row in shown["hospitals"]]
    assert rows[0] == {"classes": ["malignant", "benign"], "counts": [[10, 11], [0, 13]]}
    assert rows[1] is None
    assert shown["measures"]["classes"]["malignant"]["sensitivity"]["value"] == round(40 / 84, 4)
    assert shown["measures"]["classes"]["benign"]["sensitivity"]["value"] == 1.0
    assert metrics(view(maker, 3))["measures"] == shown["measures"]
    assert shown["measures"]["balanced_accuracy"]["low"] < shown["measures"]["balanced_accuracy"]["value"]


def test_the_scores_of_those_that_told_theirs_add_up_and_are_drawn(maker: RoundMaker) -> None:
    found = view(maker, 3)
    shown = found.to_json()
    assert shown["hospitals"][0]["scores"] == [
        {"own": [0, 0, 0, 0, 0, 0, 0, 4, 0, 9], "others": [5, 0, 5, 0, 0, 0, 0, 3, 0, 8]}
    ]
    of_class = shown["measures"]["classes"]["benign"]
    assert shown["measures"]["scored"] == 145
    assert of_class["auc"] == shown["measures"]["auc"] == shown["measures"]["classes"]["malignant"]["auc"]
    assert metrics(found)["measures"]["classes"]["benign"] == of_class
    curve = list(csv.DictReader(io.StringIO(roc_csv(found))))
    assert curve[0] == {"class": "benign", "false_alarms": "0.0000", "sensitivity": "0.0000"}
    assert curve[-1] == {"class": "benign", "false_alarms": "1.0000", "sensitivity": "1.0000"}
    bins = list(csv.DictReader(io.StringIO(calibration_csv(found))))
    assert [row["score"] for row in bins] == ["0.05", "0.25", "0.75", "0.95"]
    assert sum(int(row["records"]) for row in bins) == 145
    page = render(found, summaries(*parts(maker))[:3], TITLE).html.decode()
    assert page.count("<figure>") == 4
    assert f"{of_class['auc']['value']:.3f} (" in page


def test_a_round_without_scores_has_no_curves(maker: RoundMaker) -> None:
    found = view(maker, 3)
    silent = replace(found, hospitals=tuple(replace(row, scores=None) for row in found.hospitals))
    assert silent.measures is not None
    assert silent.measures.scored == 0
    assert (roc_csv(silent), calibration_csv(silent)) == (
        "class,false_alarms,sensitivity\n",
        "class,score,records,observed,low,high\n",
    )
    page = render(silent, summaries(*parts(maker))[:3], TITLE).html.decode()
    assert "data-scored" not in page
    assert page.count("<figure>") == 3


def test_a_confirmation_with_scores_that_are_none_of_its_matrix_counts_for_nothing(maker: RoundMaker) -> None:
    said: dict[str, object] = {
        "correct": 9,
        "tested": 9,
        "confusion": {"classes": ["malignant", "benign"], "counts": [[4, 0], [0, 5]]},
        "scores": [{"own": [0] * 9 + [5], "others": [3] + [0] * 8 + [1]}],
    }
    _confirm(maker, "eastfield", said)
    row = view(maker, 3).hospitals[1]
    assert (row.correct, row.tested, row.confusion, row.scores) == (None, None, None, None)


@pytest.mark.parametrize(
    "matrix",
    [
        {"classes": ["malignant", "benign"], "counts": [[9, 0], [0, 1]]},
        {"classes": ["benign", "malignant"], "counts": [[4, 0], [0, 5]]},
    ],
)
def test_a_confirmation_with_a_matrix_that_is_none_of_its_records_counts_for_nothing(
    maker: RoundMaker, matrix: object
) -> None:
    said: dict[str, object] = {"correct": 9, "tested": 9, "confusion": matrix}
    _confirm(maker, "eastfield", said)
    row = view(maker, 3).hospitals[1]
    assert (row.correct, row.tested, row.confusion) == (None, None, None)


def test_the_csv_has_one_line_per_hospital(maker: RoundMaker) -> None:
    rows = list(csv.DictReader(io.StringIO(verdicts_csv(view(maker, 3)))))
    assert [row["verdict"] for row in rows] == ["accepted", "accepted", "accepted", "rejected", "absent"]
    assert rows[4]["reason"] == "invalid_data"
    assert rows[4]["validation"] == "failed"
    assert rows[4]["failed_expectations"] == "at least 10 samples of each class"
    assert rows[1]["accuracy"] == ""


def test_the_metrics_and_the_course_are_what_dvc_shows(maker: RoundMaker) -> None:
    shown = metrics(view(maker, 3))
    assert (shown["accepted"], shown["rejected"], shown["absent"], shown["confirmed"], shown["seconds"]) == (
        3,
        1,
        1,
        4,
        17.1,
    )
    rows = list(csv.DictReader(io.StringIO(history_csv(summaries(*parts(maker))))))
    assert [(row["round"], row["rejected"]) for row in rows] == [("1", "1"), ("3", "1")]


class Page(HTMLParser):
    """What a browser would fetch or run, and what it would show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.text += " ".join(data.split()) + " "


def test_the_page_is_whole_in_itself_and_says_what_an_auditor_asks(maker: RoundMaker) -> None:
    found = view(maker, 3)
    page = Page(render(found, summaries(*parts(maker))[:3], TITLE).html.decode())
    assert [link for link in page.fetched if not link.startswith("#")] == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 5
    for said in (
        TITLE,
        "Development chain.",
        str(found.model),
        str(found.previous_model),
        str(found.tx),
        "3 of 3 nodes",
        "aby3",
        TRUST["aby3"].partition(":")[0],
        "wardround audit 3",
        "its records failed the data contract: at least 10 samples of each class",
        "strikes in rounds 1, 3 of the last 5",
        "Round 2 made no model: its deadline passed.",
        "alder: said nothing about this round",
        "has not confirmed the model",
    ):
        assert said in page.text, said


def test_the_same_view_makes_the_same_bytes(maker: RoundMaker) -> None:
    history = summaries(*parts(maker))[:3]
    assert render(view(maker, 3), history, TITLE) == render(view(maker, 3), history, TITLE)


def test_a_round_without_confirmations_and_timings_has_a_page_too(maker: RoundMaker) -> None:
    ledger, store = parts(maker)
    store.objects = {
        at: held for at, held in store.objects.items() if "/confirmation/" not in at[1] and at[0] != object_keys.MAILBOX
    }
    found = view(maker, 3)
    page = Page(render(found, [summary(found)], TITLE).html.decode())
    assert page.tags.count("svg") == 1
    assert ledger.development


def test_the_page_says_why_the_rounds_just_before_made_no_model(maker: RoundMaker) -> None:
    ledger, store = parts(maker)
    ledger.abort(RoundId(4), key("southmoor").address)
    maker.say(RoundId(4), Kind.MANIFEST, "southmoor", {"of": "southmoor"})
    body = {
        "stage": "verify",
        "saw": "Silent: got no Inventory",
        "waited_for": {"kind": "Inventory", "nodes": ["cedar"]},
        "absent": {"eastfield": "no_manifest"},
        "blamed": [],
    }
    maker.say(RoundId(4), Kind.CAUSE, "birch", body)
    maker.finish(RoundId(5))
    found = views(ledger.rounds(), ledger, store)
    page = render(found[-1], [summary(one) for one in found], TITLE).html.decode()
    assert "Round 4 made no model: too few hospitals were accepted. A strike for southmoor." in page
    assert "birch: Silent: got no Inventory; waited for cedar" in page
    assert "Round 2 made no model" not in page


def aborted(maker: RoundMaker, *blamed: str, absent: object) -> str:
    """The page of a round in which birch alone says what it saw."""
    ledger, store = parts(maker)
    for name in maker.of.hospitals:
        maker.say(RoundId(4), Kind.MANIFEST, name, {"of": name})
    saw = {
        "stage": "verify",
        "saw": "TooFew: <b>2</b> took part",
        "waited_for": {"nodes": ["cedar"]},
        "absent": absent,
        "blamed": blamed,
    }
    maker.say(RoundId(4), Kind.CAUSE, "birch", saw)
    ledger.abort(RoundId(4), *(key(name).address for name in blamed))
    found = gather(ledger.round(RoundId(4)), ledger, store, {ledger.id: maker.of.name})
    return render_aborted(found, maker.of.hospitals, TITLE)


def test_an_aborted_round_has_a_page_that_says_why_who_is_named_and_what_follows(maker: RoundMaker) -> None:
    page = Page(aborted(maker, "southmoor", absent={"southmoor": "rejected", "eastfield": "no_manifest"}))
    said = " ".join(page.text.split())
    assert "aborted" in said
    assert "Too few hospitals were accepted. alder, birch signed that" in said
    assert "birch verify TooFew: <b>2</b> took part cedar southmoor" in said
    assert "cedar – said nothing about this round" in said
    assert "southmoor the nodes rejected its update birch a strike" in said
    assert "eastfield it shared no update in time birch –" in said
    assert "northgate shared an update –" in said
    assert "southmoor has a strike from this round" in said
    assert "alder, cedar said nothing about this round: ask whether these nodes are up." in said
    assert f"wardround audit {4}" in said


def test_a_cause_of_another_form_names_nobody(maker: RoundMaker) -> None:
    for absent in (5, ["southmoor"], {"southmoor": 5, "east\nfield": "x", "westbrook": "y" * 700}):
        assert "0 of 5 hospitals are named" in " ".join(Page(aborted(maker, absent=absent)).text.split())


def test_every_end_is_in_words() -> None:
    assert set(ENDS) == {*Reason, None}


def test_every_protocol_and_every_absence_is_explained() -> None:
    assert {protocol for protocols in PROTOCOLS.values() for protocol in protocols} == set(TRUST)
    assert all(reason.islower() for reason in REASONS)
    assert Verdict.ABSENT not in REASONS


def test_whom_the_model_fails_stands_in_view_metrics_and_page(maker: RoundMaker) -> None:
    maker.ledger.abort(RoundId(4))  # type: ignore[attr-defined]
    maker.finish(RoundId(5), change=with_subgroups)
    found = view(maker, 5)
    rows = found.to_json()["subgroups"]["groups"]
    assert [(row["column"], row["group"], row["withheld"]) for row in rows] == [
        ("sex", "women", False),
        ("sex", "men", False),
        ("age", "below 40", True),
        ("age", "40 to below 65", True),
        ("age", "65 or more", False),
        ("age", "not stated", False),
    ]
    women = rows[0]["measures"]["classes"]["malignant"]
    assert women["sensitivity"]["value"] == round(31 / 35, 4)
    assert rows[0]["patients"] == [35, 34]
    assert rows[2]["measures"] is rows[5]["measures"] is None
    assert metrics(found)["subgroups"]["sex"]["women"]["classes"]["malignant"] == women
    page = render(found, summaries(*parts(maker)), TITLE).html.decode()
    assert "Whom the model fails" in page
    assert "sex: women" in page
    assert "sensitivity: right answers of each class" in page


def test_a_group_with_dollars_in_its_name_is_drawn_as_it_is(maker: RoundMaker) -> None:
    def paid(record: RoundRecord) -> RoundRecord:
        told = with_subgroups(record).subgroups
        assert told is not None
        assert told.groups is not None
        groups = tuple(group.model_copy(update={"name": f"${group.name}$"}) for group in told.groups)
        return record.model_copy(update={"subgroups": told.model_copy(update={"groups": groups})})

    maker.ledger.abort(RoundId(4))  # type: ignore[attr-defined]
    maker.finish(RoundId(5), change=paid)
    found = view(maker, 5).subgroups
    assert found is not None
    assert ">sex: $women$<" in pictures.svg(pictures.subgroups(found))


def test_a_round_that_opened_no_totals_says_who_was_missing(maker: RoundMaker) -> None:
    def closed(record: RoundRecord) -> RoundRecord:
        told = with_subgroups(record).subgroups
        assert told is not None
        return record.model_copy(update={"subgroups": told.model_copy(update={"groups": None})})

    maker.ledger.abort(RoundId(4))  # type: ignore[attr-defined]
    maker.finish(RoundId(5), absent=["hillside"], change=closed)
    page = render(view(maker, 5), summaries(*parts(maker)), TITLE).html.decode()
    assert "hillside did not take part, and the others&#39; totals would show its counts" in page
