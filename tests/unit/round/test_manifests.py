"""What nodes take in of manifests that are replayed, shown to some, committed twice, late, or that accuse another.

`tests/adversary/test_hospital_manifests.py` has what a hospital does to them through a real store.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.domain import HospitalName, Kind, RoundId, Sha256
from pipeline.errors import RoundAborted, TooFew
from pipeline.evidence import signing
from pipeline.evidence.canonical import sha256
from pipeline.evidence.membership import membership
from pipeline.governance.member_actions import commit_directly
from pipeline.mpc.sharing import held_by
from pipeline.round.input_set import Inputs
from pipeline.round.journal import Journal
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.dealers import Dealing, damaged, post_as
from tests.support.installed import HOSPITALS, NODES, Installed
from tests.support.intake import signed_sets, take_in_at_all
from tests.support.rounds import Play

CEDAR, DAHLIA = HOSPITALS[2:4]


def _trained(site: Installed, play: Play, round_id: RoundId, name: HospitalName) -> Dealing:
    """What a hospital that has trained would share, for the test to change."""
    for step in ("validate", "train"):
        play.hospital(step, round_id, name)
    return Dealing.honest(site.hospital_context(play, round_id, name))


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
    site: Installed, shown_to: int, takes_part: bool
) -> None:
    play = site.play(f"shown_to_{shown_to}", hospitals=list(HOSPITALS[:4]))
    round_id = play.open()
    play.hospitals(round_id, HOSPITALS[:3])
    ctx = site.hospital_context(play, round_id, DAHLIA)
    for step in ("validate", "train"):
        play.hospital(step, round_id, DAHLIA)
    dealing = Dealing.honest(ctx)
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


@attack(
    by="hospital",
    to="change",
    tries="to be counted by its own manifest of an earlier round",
    costs="its place in the round",
    seen="its absence, as `forged_manifest`",
)
def test_a_manifest_of_another_round_is_none(site: Installed) -> None:
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


@attack(
    by="hospital",
    to="stop",
    tries="to accuse each other, two together: each signs the other's components and envelopes as its own",
    costs="the places of both in the round",
    seen="the absence of both, as `unrecoverable_component`, and of nobody else",
)
def test_two_hospitals_that_accuse_each_other_are_out_and_nobody_else(site: Installed) -> None:
    play = site.play("accusing", hospitals=list(HOSPITALS[:5]))
    round_id = play.open()
    honest = [HOSPITALS[0], HOSPITALS[1], HOSPITALS[4]]
    play.hospitals(round_id, honest)
    one, other = (_trained(site, play, round_id, name) for name in (CEDAR, DAHLIA))
    for mine, theirs in ((one, other), (other, one)):
        swapped = mine.sending(theirs.envelopes)
        swapped.post(swapped.manifest(components=theirs.body()["components"]))
    play.commit(round_id)
    for inputs in take_in_at_all(site, play, round_id).values():
        assert set(inputs.digests) == set(honest)
        assert inputs.absent == dict.fromkeys((CEDAR, DAHLIA), "unrecoverable_component")


@pytest.fixture(scope="module")
def late_and_double(site: Installed) -> tuple[Sha256, list[Inputs]]:
    """Cedar signed two manifests that hold and committed one directly; dahlia posts hers after a look.

    What each node takes in.
    """
    play = site.play("late_and_double", hospitals=list(HOSPITALS[:5]))
    round_id = play.open()
    play.hospitals(round_id, [*HOSPITALS[:2], HOSPITALS[4]])
    first = _trained(site, play, round_id, CEDAR)
    first.post()
    commit_directly(play.study.name, round_id, CEDAR, site.settings)
    again = first.sending({node: first.sealed(node) for node in play.study.nodes})
    again.post()
    late = _trained(site, play, round_id, DAHLIA)
    play.commit(round_id)
    return sha256(signing.to_bytes(first.manifest())), list(take_in_at_all(site, play, round_id, late.post).values())


@attack(
    by="hospital",
    to="stop",
    tries="to part the nodes by two manifests that both hold, one of them committed directly",
    costs="nothing: it takes part",
    seen="both, in its folder, and its direct commit, on the ledger",
)
def test_of_two_manifests_the_committed_one_counts_for_all(late_and_double: tuple[Sha256, list[Inputs]]) -> None:
    committed, found = late_and_double
    assert [inputs.digests[CEDAR] for inputs in found] == [committed] * 3


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


@attack(
    by="hospital",
    to="stop",
    tries="to put another hospital out by committing that one's manifest directly as its own",
    costs="its own place in the round",
    seen="its direct commit, on the ledger, and its absence, as `forged_manifest`",
)
def test_a_manifest_that_another_one_committed_too_stands_for_its_author_alone(site: Installed) -> None:
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


@attack(
    by="hospital",
    to="stop",
    tries="to have honest hospitals blamed for a round that ends without a model because of its own envelopes",
    costs="a strike, and the round where the study has nobody to spare",
    seen="the end that the nodes sign, which blames it alone",
)
def test_whoever_makes_a_round_end_is_blamed_alone(site: Installed) -> None:
    play = site.play("nobody_to_spare", hospitals=list(HOSPITALS[:3]))
    round_id = play.open()
    play.hospitals(round_id, HOSPITALS[:2])
    dealing = _trained(site, play, round_id, CEDAR)
    dealing.sending({node: damaged(data) for node, data in dealing.envelopes.items()}).post()
    play.commit(round_id)
    with pytest.raises(TooFew) as caught:
        take_in_at_all(site, play, round_id)
    assert caught.value.blamed == (CEDAR,)


@attack(
    by="hospital",
    to="delay",
    tries=(
        "to hold a study of four nodes to a round's deadline, several together, by updates of which too few are"
        " accepted"
    ),
    costs="a strike for each",
    seen="the end that a majority of the nodes signs, which names them",
)
def test_four_nodes_end_a_round_at_once_that_accepts_too_few(site: Installed) -> None:
    play = site.play("few_of_four", engine="mp-spdz", protocol="rep4-ring", nodes=list(NODES))
    round_id = play.open()
    play.hospitals(round_id)
    play.commit(round_id)
    inputs = {
        name: site.board().digests(object_keys.statement(round_id, Kind.MANIFEST, name))[0]
        for name in play.study.hospitals
    }
    revealed = {
        "accepted": list(inputs)[:2],
        "budget": 1,
        "inputs": inputs,
        "absent": {},
        "failed": {},
        "programs": "ab" * 32,
    }
    for node in play.study.nodes[:3]:
        Journal(site.settings.node(node) / "journal").reveal(round_id, revealed)
        with pytest.raises(TooFew, match="2 hospitals accepted"):
            play.node("aggregate", round_id, node)
    with pytest.raises(RoundAborted, match="3 nodes ended it"):
        play.provider("finalise", round_id)
    state = site.ledger.round(round_id)
    assert state.decided is not None
    assert state.aborted is not None
    assert state.decided.blamed == tuple(site.members.hospital(name) for name in play.study.hospitals[2:])
    assert state.aborted.location.time < state.opened.result_deadline
    assert play.open("next") > round_id
