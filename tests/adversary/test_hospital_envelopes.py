"""A hospital of the study, with its keys: envelopes that are spoilt."""

from __future__ import annotations

import shutil

import pytest

from pipeline.domain import HospitalName, Kind, Sha256
from pipeline.store import object_keys
from pipeline.store.object_keys import KeyPrefix
from tests.adversary import attack
from tests.support.consortia import HOSPITALS, Site

pytestmark = pytest.mark.anvil

CEDAR = HOSPITALS[2]


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
