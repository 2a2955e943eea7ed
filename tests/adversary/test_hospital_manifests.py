"""A hospital of the study, with its keys: what it shows the nodes, and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from pipeline.domain import HospitalName, Kind, RoundId, Sha256
from pipeline.evidence import signing
from pipeline.evidence.canonical import sha256
from pipeline.evidence.membership import membership
from pipeline.governance.member_actions import commit_directly
from pipeline.mpc.sharing import held_by
from pipeline.round.input_set import Inputs
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.consortia import HOSPITALS, Site
from tests.support.dealers import post_as, trained
from tests.support.intake import signed_sets, take_in_at_all
from tests.support.rounds import Play

pytestmark = pytest.mark.anvil

CEDAR, DAHLIA = HOSPITALS[2:4]


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


@pytest.mark.store
@pytest.mark.parametrize(("shown_to", "takes_part"), [(2, True), (1, False)], ids=["to most nodes", "to one node"])
@attack(
    by="hospital",
    to="stop",
    tries=(
        "to end the round by a validation that it shows to some nodes only, under a manifest that it committed directly"
    ),
    costs="its place in the round, where fewer than a majority of the nodes saw it",
    seen="its direct commit, on the ledger, and its absence in the input set that all nodes sign",
)
def test_a_manifest_that_holds_for_some_nodes_only_is_in_or_out_for_all(
    site: Site, shown_to: int, takes_part: bool
) -> None:
    play = site.play(f"shown_to_{shown_to}", hospitals=list(HOSPITALS[:4]))
    round_id = play.open()
    play.hospitals(round_id, HOSPITALS[:3])
    dealing = trained(site, play, round_id, DAHLIA)
    ctx = dealing.ctx
    withheld = signing.to_bytes(ctx.worker.sign(Kind.VALIDATION, {"passed": True, "rows": "50-99"}, ctx.context))
    dealing.post(dealing.manifest(validation=sha256(withheld)))
    commit_directly(play.study.name, round_id, DAHLIA, site.settings)
    play.commit(round_id)
    first = len(play.study.nodes) - shown_to
    acts: list[Callable[[], object]] = [lambda: None] * (first - 1)
    place = object_keys.statement(round_id, Kind.VALIDATION, DAHLIA)
    found = take_in_at_all(site, play, round_id, *acts, lambda: ctx.worker.board.post(place, withheld))
    seen = [DAHLIA in site.said(round_id, Kind.INVENTORY, node).body["held"] for node in play.study.nodes]
    assert seen == [False] * first + [True] * shown_to
    one, *others = signed_sets(site, play, round_id)
    assert others == [one, one]
    assert one["absent"] == ({} if takes_part else {DAHLIA: "forged_manifest"})
    for index, node in enumerate(play.study.nodes):
        parts = found[node].components.get(DAHLIA, {})
        assert set(parts) == (set(held_by(index, 3)) if takes_part else set())
        for component, part in parts.items():
            assert np.array_equal(part[:], dealing.components[component])


@pytest.mark.minio
@attack(
    by="hospital",
    to="change",
    tries="to be counted by its own manifest of an earlier round",
    costs="its place in the round",
    seen="its absence, as `forged_manifest`",
)
def test_a_manifest_of_another_round_is_none(site: Site) -> None:
    play = site.play("replayed", hospitals=list(HOSPITALS[:4]))
    first = play.open("first")
    play.hospitals(first, [DAHLIA])
    manifest = site.said(first, Kind.MANIFEST, DAHLIA)
    site.pass_deadline(first)
    second = play.open("second")
    play.hospitals(second, HOSPITALS[:3])
    post_as(site.hospital_context(play, second, DAHLIA), manifest)
    play.commit(second)
    for inputs in take_in_at_all(site, play, second).values():
        assert (set(inputs.digests), dict(inputs.absent)) == (set(HOSPITALS[:3]), {DAHLIA: "forged_manifest"})


@pytest.fixture(scope="module")
def late_and_double(site: Site) -> tuple[Sha256, list[Inputs]]:
    """Cedar signed two manifests that hold and committed one directly; dahlia posts hers after a look.

    What each node takes in.
    """
    play = site.play("late_and_double", hospitals=list(HOSPITALS[:5]))
    round_id = play.open()
    play.hospitals(round_id, [*HOSPITALS[:2], HOSPITALS[4]])
    first = trained(site, play, round_id, CEDAR)
    first.post()
    commit_directly(play.study.name, round_id, CEDAR, site.settings)
    again = first.sending({node: first.sealed(node) for node in play.study.nodes})
    again.post()
    late = trained(site, play, round_id, DAHLIA)
    play.commit(round_id)
    return sha256(signing.to_bytes(first.manifest())), list(take_in_at_all(site, play, round_id, late.post).values())


@pytest.mark.minio
@attack(
    by="hospital",
    to="stop",
    tries="to part the nodes by two manifests that both hold, one of them committed directly",
    costs="nothing: it takes part",
    seen="both, in its folder, and its direct commit, on the ledger",
)
def test_of_two_manifests_the_committed_one_counts_for_all(late_and_double: tuple[Sha256, list[Inputs]]) -> None:
    digest, found = late_and_double
    assert [inputs.digests[CEDAR] for inputs in found] == [digest] * 3


@pytest.mark.minio
@attack(
    by="hospital",
    to="change",
    tries="to be counted by a manifest that it posts when some nodes have looked",
    costs="its place in the round",
    seen="its absence, as `no_manifest`",
)
def test_a_late_manifest_is_none_for_all(late_and_double: tuple[Sha256, list[Inputs]]) -> None:
    _, found = late_and_double
    assert [dict(inputs.absent) for inputs in found] == [{DAHLIA: "no_manifest"}] * 3


@pytest.mark.minio
@attack(
    by="hospital",
    to="stop",
    tries="to put another hospital out by committing that one's manifest directly as its own",
    costs="its own place in the round",
    seen="its direct commit, on the ledger, and its absence, as `forged_manifest`",
)
def test_a_manifest_that_another_one_committed_too_stands_for_its_author_alone(site: Site) -> None:
    play = site.play("committed_twice", hospitals=list(HOSPITALS[:4]))
    round_id = play.open()
    play.hospitals(round_id, HOSPITALS[:3])
    ctx = site.hospital_context(play, round_id, DAHLIA)
    copied = post_as(ctx, site.said(round_id, Kind.MANIFEST, CEDAR))
    terms = play.study.terms(site.members)
    call = site.ledger.commit_directly(ctx.state, copied, membership(terms, site.members.hospital(DAHLIA)))
    ctx.worker.outbox().send(call, f"copied-{round_id}")
    play.commit(round_id)
    for inputs in take_in_at_all(site, play, round_id).values():
        assert (set(inputs.digests), dict(inputs.absent)) == (set(HOSPITALS[:3]), {DAHLIA: "forged_manifest"})
