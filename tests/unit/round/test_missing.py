"""Nodes, components and hospitals that are missing: a round is aborted, and the model stays."""

from __future__ import annotations

import pytest

from pipeline.domain import Kind, RoundStatus
from pipeline.errors import Refused, RoundAborted, Unavailable
from pipeline.mpc.exchange import Inventory
from pipeline.round import custody
from pipeline.round.journal import Journal
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.installed import HOSPITALS, NODES
from tests.support.memory.site import MemorySite

NORTH, EAST, WEST = NODES[:3]


@attack(
    by="node",
    to="stop",
    tries="to end a round by a component that it says it holds, and does not",
    costs="the round, under its name",
    seen="its inventory, and what it did not lend",
)
def test_a_component_that_a_node_signed_for_and_that_is_gone_ends_the_round_under_its_name(site: MemorySite) -> None:
    play = site.play("gone", hospitals=list(HOSPITALS[:3]))
    round_id = play.committed()
    ctx = site.node_context(play, round_id, NORTH)
    seen = Inventory(dict.fromkeys(play.study.hospitals, (1, 2)), {}).body()
    Journal(site.settings.node(NORTH) / "journal").say(round_id, ctx.worker.sign(Kind.INVENTORY, seen, ctx.context))
    envelope = object_keys.envelope(round_id, HOSPITALS[0], NORTH)
    (digest,) = site.board().digests(envelope)
    del site.buckets.objects[envelope.bucket, envelope.key(digest)]
    with pytest.raises(RoundAborted, match="signed that it holds components of aster"):
        play.node("verify", round_id, NORTH)


def test_a_round_below_the_quorum_is_aborted_and_the_model_stays(
    site: MemorySite,
) -> None:
    play = site.play("below_quorum", hospitals=list(HOSPITALS[:3]))
    round_id = play.open()
    play.hospitals(round_id, HOSPITALS[:2])
    site.near_deadline(round_id, 1)
    model = site.ledger.round(round_id).opened.previous_model
    with pytest.raises(RoundAborted, match="2 hospitals shared an update, want at least 3"):
        play.commit(round_id)
    with pytest.raises(RoundAborted, match="stays current"):
        play.provider("finalise", round_id)
    with pytest.raises(RoundAborted, match="stays current"):
        play.provider("record", round_id)

    assert site.transactions("below_quorum") == [("opened", round_id), ("aborted", round_id)]
    assert site.ledger.round(play.open("next")).opened.previous_model == model
    site.audits(round_id)
    for node in play.study.nodes:
        play.node("retire", round_id, node)
        assert not (site.settings.node(node) / "sealing" / str(round_id)).exists()


@attack(
    by="node",
    to="stop",
    tries="to stop a round by staying away",
    costs="the round, under its name",
    seen="who was waited for; the model before stays",
)
def test_a_round_that_misses_a_node_is_aborted_by_the_next_one(
    site: MemorySite,
) -> None:
    play = site.play("short_of_a_node", hospitals=list(HOSPITALS[:3]))
    round_id = play.committed()
    site.near_deadline(round_id, 1)
    with pytest.raises(Unavailable, match="west"):
        play.nodes("verify", round_id, (NORTH, EAST))
    following = play.open("next")

    assert site.ledger.status(round_id) is RoundStatus.ABORTED
    assert site.ledger.status(following) is RoundStatus.OPEN
    assert site.ledger.round(following).opened.previous_model == site.ledger.round(round_id).opened.previous_model
    with pytest.raises(Refused, match="aborted"):
        play.node("verify", round_id, WEST)
    with pytest.raises(RoundAborted):
        play.provider("finalise", round_id)
    site.audits(round_id)
    assert round_id in custody.rounds(site.settings.node(NORTH)), "nobody has retired it"
    play.node("prepare", play.number("the one after"), NORTH)
    held = custody.rounds(site.settings.node(NORTH))
    assert round_id not in held
    assert following in held
