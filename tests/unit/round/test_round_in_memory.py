"""A whole round with nothing but memory: real keys, signatures, envelopes, training; the rule in plain."""

from __future__ import annotations

import pytest

from pipeline.domain import Kind, RoundStatus
from pipeline.measures import scores
from pipeline.measures.confusion import Confusion
from tests.support.memory.site import MemorySite


def test_a_round_of_three_hospitals_and_three_nodes_ends_with_a_model_that_audits(site: MemorySite) -> None:
    play = site.play("three", hospitals=["aster", "birch", "cedar"])
    round_id = play.round()
    assert play.absences == {}
    assert site.ledger.status(round_id) is RoundStatus.FINALISED
    assert site.record(round_id)["verdicts"] == dict.fromkeys(play.study.hospitals, "accepted")
    site.each_thing_once(play, round_id)
    site.audits(round_id)


@pytest.mark.parametrize(
    ("measures", "least", "told"),
    [
        ("accuracy", (5, 10), set()),
        ("confusion", (5, 10), {"confusion"}),
        ("confusion", (1000, 10), set()),
        ("scores", (5, 1), {"confusion", "scores"}),
        ("scores", (5, 1000), {"confusion"}),
        ("scores", (1000, 10), set()),
    ],
)
def test_a_confirmation_tells_what_the_study_asks_for_and_no_class_of_few_records(
    site: MemorySite, monkeypatch: pytest.MonkeyPatch, measures: str, least: tuple[int, int], told: set[str]
) -> None:
    monkeypatch.setattr("pipeline.measures.confusion.LEAST_OF_CLASS", least[0])
    monkeypatch.setattr("pipeline.measures.scores.LEAST_SCORED", least[1])
    play = site.play(
        f"tells_{measures}_{least[0]}_{least[1]}", hospitals=["aster", "birch", "cedar"], measures=measures
    )
    round_id = play.round()
    for name in play.study.hospitals:
        body = site.said(round_id, Kind.CONFIRMATION, name).body
        assert 0 <= body["correct"] <= body["tested"]
        assert body.keys() == {"model", "correct", "tested"} | told
        if "confusion" in told:
            assert body["confusion"]["classes"] == list(play.study.source.classes)
            rows = body["confusion"]["counts"]
            assert sum(map(sum, rows)) == body["tested"]
            assert sum(row[index] for index, row in enumerate(rows)) == body["correct"]
        if "scores" in told:
            matrix = Confusion(play.study.source.classes, tuple(map(tuple, rows)))
            assert scores.told(body["scores"], matrix) is not None
    site.audits(round_id)
