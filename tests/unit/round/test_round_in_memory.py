"""A whole round with nothing but memory: real keys, signatures, envelopes, training; the rule in plain."""

from __future__ import annotations

import pytest

from pipeline.domain import Kind, RoundStatus
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
    ("measures", "least", "is_told"), [("confusion", 5, True), ("confusion", 1000, False), ("accuracy", 5, False)]
)
def test_a_confirmation_tells_what_the_study_asks_for_and_no_class_of_few_records(
    site: MemorySite, monkeypatch: pytest.MonkeyPatch, measures: str, least: int, is_told: bool
) -> None:
    monkeypatch.setattr("pipeline.measures.confusion.LEAST_OF_CLASS", least)
    play = site.play(f"tells_{measures}_{least}", hospitals=["aster", "birch", "cedar"], measures=measures)
    round_id = play.round()
    for name in play.study.hospitals:
        body = site.said(round_id, Kind.CONFIRMATION, name).body
        assert 0 <= body["correct"] <= body["tested"]
        assert ("confusion" in body) is is_told
        if is_told:
            assert body["confusion"]["classes"] == list(play.study.source.classes)
            rows = body["confusion"]["counts"]
            assert sum(map(sum, rows)) == body["tested"]
            assert sum(row[index] for index, row in enumerate(rows)) == body["correct"]
    site.audits(round_id)
