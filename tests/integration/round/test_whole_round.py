"""Whole rounds under each engine, and every step taken twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.domain import RoundId
from pipeline.round.journal import Commit
from pipeline.store import object_keys
from tests.support.consortia import NODES, Site
from tests.support.in_the_clear import computed_in_the_clear
from tests.support.rounds import Play

pytestmark = [pytest.mark.store, pytest.mark.anvil]


def everything(site: Site, play: Play) -> tuple[list[tuple[str, str, str]], list[tuple[str, int]], dict[Path, bytes]]:
    """Every version in the store but timings, every ledger event of the study, every node's journal."""
    store = site.store()
    objects = [
        (bucket, info.key, info.version_id)
        for bucket in (object_keys.MAILBOX, object_keys.MODELS, object_keys.REPORTS, object_keys.DVC)
        for info in store.history(bucket, "")
        if "/timings/" not in info.key
    ]
    journals = {
        path: path.read_bytes()
        for node in play.study.nodes
        for path in sorted((site.settings.node(node) / "journal").glob("*.json"))
    }
    return objects, site.transactions(play.study.name), journals


def recomputed(site: Site, play: Play, round_id: RoundId) -> None:
    """Let every node forget what it opened and compute it again; a vote that differs is refused by its journal."""
    for node in play.study.nodes:
        ctx = site.node_context(play, round_id, node)
        opening = Commit(ctx.worker.digest, ctx.previous_model, ctx.commit_root).entry
        for name in (f"revealed-{round_id}.json", opening):
            (site.settings.node(node) / "journal" / name).unlink()
    play.verify(round_id)
    play.aggregate(round_id)


@pytest.mark.spu
def test_every_step_taken_again_changes_nothing_and_computing_again_gives_the_same_vote(site: Site) -> None:
    play = site.play("twice")
    round_id = play.open()
    assert play.number("run") == round_id
    play.provider("open_round", round_id)
    for _ in range(2):
        play.hospitals(round_id)
    verdicts, model = computed_in_the_clear(site, play, round_id)
    for _ in range(2):
        play.commit(round_id)
    for _ in range(2):
        play.verify(round_id)
    for _ in range(2):
        play.aggregate(round_id)
    before = everything(site, play)
    recomputed(site, play, round_id)
    assert everything(site, play) == before

    for _ in range(2):
        play.end(round_id)
        play.provider("record", round_id)
    before = everything(site, play)
    play.end(round_id)
    play.provider("record", round_id)
    assert everything(site, play) == before

    site.each_thing_once(play, round_id)
    record = site.record(round_id)
    assert (record["verdicts"], record["new_model"]) == (verdicts, model)
    assert play.absences == {}
    site.audits(round_id)


@pytest.mark.mp_spdz
@pytest.mark.parametrize(("protocol", "nodes"), [("replicated-ring", 3), ("rep4-ring", 4)])
def test_a_round_under_mp_spdz_ends_as_the_plain_reference_says(site: Site, protocol: str, nodes: int) -> None:
    play = site.play(protocol.replace("-", "_"), engine="mp-spdz", protocol=protocol, nodes=list(NODES[:nodes]))
    round_id = play.open()
    play.hospitals(round_id)
    verdicts, model = computed_in_the_clear(site, play, round_id)
    play.decide(round_id)

    record = site.record(round_id)
    assert (record["verdicts"], record["new_model"]) == (verdicts, model)
    assert play.absences == {}
    site.audits(round_id)
