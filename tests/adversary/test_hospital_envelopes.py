"""A hospital of the study, with its keys: envelopes that are spoilt, and who is blamed for the end of a round."""

from __future__ import annotations

import shutil

import pytest

from pipeline.domain import HospitalName, Kind, Sha256
from pipeline.errors import RoundAborted, TooFew
from pipeline.store import object_keys
from pipeline.store.object_keys import KeyPrefix
from tests.adversary import attack
from tests.support.consortia import HOSPITALS, NODES, Site
from tests.support.dealers import damaged, trained
from tests.support.intake import take_in_at_all

pytestmark = pytest.mark.anvil

CEDAR, DAHLIA = HOSPITALS[2:4]


def _write_over(site: Site, name: HospitalName, place: KeyPrefix, digest: Sha256) -> None:
    """A hospital puts other bytes under the key of an object of its own."""
    site.store(site.settings.hospital(name))._client.put_object(
        Bucket=place.bucket, Key=place.key(digest), Body=b"junk"
    )


def _lose(site: Site, place: KeyPrefix) -> None:
    """All that lies in a place is gone from the store's disk."""
    for digest in site.board().digests(place):
        shutil.rmtree(site.on_disk(place, digest))


@pytest.mark.store
@pytest.mark.namespace
@pytest.mark.spu
@attack(
    by="hospital",
    to="stop",
    tries="to end the round by junk over its own envelopes, once the nodes have signed their input sets",
    costs="nothing: it takes part",
    seen="nothing: the nodes read an envelope once",
)
def test_envelopes_that_change_after_the_input_sets_change_nothing(site: Site) -> None:
    play = site.play("written_over", hospitals=list(HOSPITALS[:3]))
    round_id = play.committed()
    play.verify(round_id)
    for node in play.study.nodes:
        place = object_keys.envelope(round_id, CEDAR, node)
        for digest in site.board().digests(place):
            _write_over(site, CEDAR, place, digest)
        _lose(site, place)  # also where a store keeps no earlier version
    play.aggregate(round_id)
    play.end(round_id)
    assert site.record(round_id)["verdicts"][CEDAR] == "accepted"
    assert len({site.said(round_id, Kind.VOTE, node).body["record"] for node in play.study.nodes}) == 1
    site.audits(round_id)


@pytest.mark.minio
@attack(
    by="hospital",
    to="stop",
    tries="to accuse each other, two together: each signs the other's components and envelopes as its own",
    costs="the places of both in the round",
    seen="the absence of both, as `unrecoverable_component`, and of nobody else",
)
def test_two_hospitals_that_accuse_each_other_are_out_and_nobody_else(site: Site) -> None:
    play = site.play("accusing", hospitals=list(HOSPITALS[:5]))
    round_id = play.open()
    honest = [HOSPITALS[0], HOSPITALS[1], HOSPITALS[4]]
    play.hospitals(round_id, honest)
    one, other = (trained(site, play, round_id, name) for name in (CEDAR, DAHLIA))
    for mine, theirs in ((one, other), (other, one)):
        swapped = mine.sending(theirs.envelopes)
        swapped.post(swapped.manifest(components=theirs.body()["components"]))
    play.commit(round_id)
    for inputs in take_in_at_all(site, play, round_id).values():
        assert set(inputs.digests) == set(honest)
        assert inputs.absent == dict.fromkeys((CEDAR, DAHLIA), "unrecoverable_component")


@pytest.mark.minio
@attack(
    by="hospital",
    to="stop",
    tries="to have honest hospitals blamed for a round that ends without a model because of its own envelopes",
    costs="a strike, and the round where the study has nobody to spare",
    seen="the end that the nodes sign, which blames it alone",
)
def test_whoever_makes_a_round_end_is_blamed_alone(site: Site) -> None:
    play = site.play("nobody_to_spare", hospitals=list(HOSPITALS[:3]))
    round_id = play.open()
    play.hospitals(round_id, HOSPITALS[:2])
    dealing = trained(site, play, round_id, CEDAR)
    dealing.sending({node: damaged(data) for node, data in dealing.envelopes.items()}).post()
    play.commit(round_id)
    with pytest.raises(TooFew) as caught:
        take_in_at_all(site, play, round_id)
    assert caught.value.blamed == (CEDAR,)


@pytest.mark.minio
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
def test_four_nodes_end_a_round_at_once_that_accepts_too_few(site: Site) -> None:
    play = site.play("few_of_four", engine="mp-spdz", protocol="rep4-ring", nodes=list(NODES))
    round_id = play.committed()
    majority = play.study.nodes[:3]
    site.verified(play, round_id, play.study.hospitals[:2], majority)
    for node in majority:
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
