"""A hospital of the study, with its keys: what it shows the nodes, and when."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipeline.domain import HospitalName, Kind, RoundId
from tests.adversary import attack
from tests.support.consortia import HOSPITALS, Site
from tests.support.intake import signed_sets, take_in_at_all
from tests.support.rounds import Play

pytestmark = pytest.mark.anvil

DAHLIA = HOSPITALS[3]


def _say(site: Site, play: Play, round_id: RoundId, name: HospitalName, kind: Kind, body: Mapping[str, object]) -> None:
    ctx = site.hospital_context(play, round_id, name)
    ctx.worker.board.say(round_id, ctx.worker.sign(kind, body, ctx.context))


@pytest.mark.store
@attack(
    by="hospital",
    to="stop",
    tries="to split the nodes' votes by posting something else as each of them looks",
    costs="its place in the round, which it had not taken",
    seen="its absence, with its name, in the input set that all nodes sign",
)
def test_what_a_hospital_posts_while_the_nodes_look_is_one_absence_for_all(site: Site) -> None:
    play = site.play("looking", hospitals=list(HOSPITALS[:4]))
    round_id = play.committed(names=HOSPITALS[:3])
    found = take_in_at_all(
        site,
        play,
        round_id,
        lambda: _say(site, play, round_id, DAHLIA, Kind.VALIDATION, {"passed": False}),
        lambda: _say(site, play, round_id, DAHLIA, Kind.MANIFEST, {"hospital": DAHLIA}),
    )
    seen = [site.said(round_id, Kind.INVENTORY, node).body["absent"][DAHLIA] for node in play.study.nodes]
    assert seen == ["no_manifest", "invalid_data", "forged_manifest"]
    first, *others = signed_sets(site, play, round_id)
    assert others == [first, first]
    assert first["absent"] == {DAHLIA: "shown_differently"}
    assert set(first["inputs"]) == set(HOSPITALS[:3])
    assert {name: inputs.absent for name, inputs in found.items()} == dict.fromkeys(play.study.nodes, first["absent"])
