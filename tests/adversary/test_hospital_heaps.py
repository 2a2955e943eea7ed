"""A hospital of the study, with its keys: how much it puts into the store."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from pipeline.consent.consent_log import ConsentLog, publish
from pipeline.domain import HospitalName, Kind, RoundId
from pipeline.evidence.canonical import sha256
from pipeline.round import manifests
from pipeline.setup import store
from pipeline.setup.members import MemberNames
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.site.installation import Quota
from pipeline.store import object_keys
from pipeline.store.objects import Store
from pipeline.study.study import Study
from tests.adversary import attack
from tests.support.consortia import HOSPITALS, NODES, Site
from tests.support.dealers import trained
from tests.support.heaps import heap, heap_versions, reads
from tests.support.intake import take_in_at_all

pytestmark = pytest.mark.anvil

DAHLIA = HOSPITALS[3]


def _heap(site: Site, name: HospitalName, bucket: str, prefix: str, count: int) -> None:
    heap(site, site.settings.hospital(name), bucket, prefix, count)


@pytest.mark.store
@pytest.mark.parametrize("kind", [Kind.MANIFEST, Kind.VALIDATION])
@attack(
    by="hospital",
    to="delay",
    tries="to slow the nodes down with 200 files in its own place of a round",
    costs="its place in the round",
    seen="its absence, with its name and this reason",
)
def test_a_hospital_that_heaps_up_files_is_absent_and_nobody_else(
    site: Site, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = site.play(f"heaped_{kind.lower()}", hospitals=list(HOSPITALS[:4]))
    round_id = play.open()
    *others, dahlia = HOSPITALS[:4]
    _heap(site, dahlia, *object_keys.statement(round_id, kind, dahlia)[:2], 200)
    play.hospitals(round_id)
    read: list[str] = []
    get = Store.get
    monkeypatch.setattr(
        Store,
        "get",
        lambda store, bucket, key, *rest, **more: read.append(key) or get(store, bucket, key, *rest, **more),
    )
    play.commit(round_id)
    taken = manifests.committed(site.node_context(play, round_id, play.study.nodes[0]), frozenset())
    assert list(taken.manifests) == others
    assert dict(taken.absent) == {dahlia: "crowded_place"}
    assert not [key for key in read if key.startswith(object_keys.statement(round_id, kind, dahlia).prefix)]


@pytest.mark.store
@attack(
    by="hospital",
    to="stop",
    tries="to be taken for absent by files in its own place after the set is fixed, so that the nodes part",
    costs="nothing: it takes part",
    seen="the files, in its own folder",
)
def test_files_that_come_after_the_set_change_nothing_about_it(site: Site) -> None:
    play = site.play("heaped_late", hospitals=list(HOSPITALS[:3]))
    round_id = play.committed()
    for kind in (Kind.MANIFEST, Kind.VALIDATION):
        _heap(site, HOSPITALS[0], *object_keys.statement(round_id, kind, HOSPITALS[0])[:2], 40)
    taken = manifests.committed(site.node_context(play, round_id, play.study.nodes[0]), frozenset())
    assert (list(taken.manifests), dict(taken.absent)) == (list(HOSPITALS[:3]), {})


@pytest.mark.store
@attack(
    by="hospital",
    to="stop",
    tries="to put another hospital out by files beneath its place",
    costs="nothing",
    seen="nothing: the store refuses it",
)
def test_a_hospital_writes_nothing_beneath_another_ones_place(site: Site) -> None:
    own, other = HOSPITALS[:2]
    beneath = f"hospitals/{own}/"
    for place in (
        object_keys.statement(RoundId(999), Kind.MANIFEST, other),
        object_keys.envelope(RoundId(999), other, NODES[0]),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            _heap(site, own, place.bucket, place.prefix + beneath, 1)


@pytest.mark.store
@attack(
    by="hospital",
    to="delay",
    tries="to slow the opening of rounds down with folders that it calls rounds",
    costs="objects that stay in its name for a year",
    seen="the folders, with its name",
)
def test_folders_that_are_no_rounds_near_the_last_one_are_not_looked_at(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = site.play("folders", hospitals=list(HOSPITALS[:3]))
    round_id = play.number("run")
    for number in ("abc", "77777", "99999999999999999999", *range(5000, 5050)):
        _heap(site, HOSPITALS[0], object_keys.REPORTS, f"rounds/{number}/hospitals/{HOSPITALS[0]}/vote/", 1)
    listed: list[str] = []
    history = Store.history
    monkeypatch.setattr(
        Store,
        "history",
        lambda store, bucket, prefix, *rest: listed.append(prefix) or history(store, bucket, prefix, *rest),
    )
    play.node("prepare", round_id, play.study.nodes[0])
    assert f"rounds/{round_id}/nodes/" in listed
    assert max(int(prefix.split("/")[1]) for prefix in listed) <= round_id + 16


@pytest.mark.minio
@attack(
    by="hospital",
    to="delay",
    tries=(
        "to keep provider and nodes busy with versions heaped over a validation that its manifest names and that it"
        " never wrote"
    ),
    costs="its place in the round",
    seen="its absence, as `forged_manifest`, and the versions, in its own folder",
)
def test_versions_over_a_validation_that_is_not_there_keep_no_commit_waiting(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = site.play("never_validated", hospitals=list(HOSPITALS[:4]))
    round_id = play.open()
    play.hospitals(round_id, HOSPITALS[:3])
    dealing = trained(site, play, round_id, DAHLIA)
    never = sha256(b"never written")
    place = object_keys.statement(round_id, Kind.VALIDATION, DAHLIA)
    dealing.post(dealing.manifest(validation=never))
    heap_versions(site, site.settings.hospital(DAHLIA), place, never, 40, 60)
    asked = reads(monkeypatch)
    play.commit(round_id)
    assert 0 < len([key for key in asked if key.startswith(place.prefix)]) <= place.most + 1
    found = take_in_at_all(site, play, round_id)
    assert [dict(inputs.absent) for inputs in found.values()] == [{DAHLIA: "forged_manifest"}] * 3


@pytest.mark.minio
@attack(
    by="hospital",
    to="stop",
    tries="to fill the store with what object lock keeps",
    costs="its right to write, from the next `wardround up` on",
    seen="who has how much, in doctor and console",
)
def test_a_hospital_beyond_its_quota_reads_and_no_longer_writes(site: Site) -> None:
    *_, hazel, iris = HOSPITALS
    client = site.store(site.settings.hospital(iris))._client
    for number in range(9):
        client.put_object(
            Bucket=object_keys.REPORTS, Key=f"rounds/9000/hospitals/{iris}/junk/{number}", Body=bytes(1 << 20)
        )
    everybody = MemberNames(HOSPITALS, NODES)
    narrow = site.services.model_copy(update={"store_quota": Quota(mebibytes=8)})
    for _ in range(2):
        store.set_up(site.settings, narrow, everybody)
        with pytest.raises(ClientError, match="AccessDenied"):
            _heap(site, iris, object_keys.REPORTS, f"rounds/9000/hospitals/{iris}/manifest/", 1)
    _heap(site, hazel, object_keys.REPORTS, f"rounds/9000/hospitals/{hazel}/manifest/", 1)
    assert site.store(site.settings.hospital(iris)).list(object_keys.REPORTS, f"rounds/9000/hospitals/{iris}/junk/")
    store.set_up(site.settings, site.services, everybody)
    _heap(site, iris, object_keys.REPORTS, f"rounds/9000/hospitals/{iris}/manifest/", 1)


def _decided(site: Site, members: Consortium, study: Study) -> dict[str, str | None]:
    """Everybody's trouble, None where its consent is read."""
    positions = ConsentLog(site.store()).positions(study, members)
    return {each.name: each.trouble if not each.approved(study.digest(members)) else None for each in positions}


@pytest.mark.minio
@attack(
    by="hospital",
    to="delay",
    tries="to keep others from reading who approved a study, by 450 files among its own decisions",
    costs="nothing",
    seen="the files, in its own folder",
)
def test_decisions_that_a_hospital_heaps_up_are_not_read_and_all_others_are(site: Site) -> None:
    play = site.play("decided", hospitals=list(HOSPITALS[:3]))
    (aster, birch, *_) = HOSPITALS
    members = Consortium.load(site.settings.consortium)
    for owner in map(site.settings.hospital, play.study.hospitals):
        publish(site.store(owner), Identity.load(owner), play.study)
    for owner in map(site.settings.node, play.study.nodes):
        publish(site.store(owner), Identity.load(owner), play.study)
    _heap(site, aster, object_keys.REPORTS, f"{object_keys.CONSENTS}hospitals/{aster}/another_study/", 450)
    assert set(_decided(site, members, play.study).values()) == {None}
    place = object_keys.consents(play.study.name, birch, node=False)
    _heap(site, birch, *place[:2], 250)
    troubled = _decided(site, members, play.study)
    assert "published more than 200 statements" in str(troubled.pop(birch))
    assert set(troubled.values()) == {None}
