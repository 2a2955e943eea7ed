"""A whole round with nothing but memory: real keys, signatures, envelopes, training; the rule in plain."""

from __future__ import annotations

from pipeline.domain import RoundStatus
from tests.support.memory.site import MemorySite


def test_a_round_of_three_hospitals_and_three_nodes_ends_with_a_model_that_audits(site: MemorySite) -> None:
    play = site.play("three", hospitals=["aster", "birch", "cedar"])
    round_id = play.round()
    assert play.absences == {}
    assert site.ledger.status(round_id) is RoundStatus.FINALISED
    assert site.record(round_id)["verdicts"] == dict.fromkeys(play.study.hospitals, "accepted")
    site.each_thing_once(play, round_id)
    site.audits(round_id)
