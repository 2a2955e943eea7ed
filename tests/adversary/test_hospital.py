"""A hospital of the study, with its keys."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from botocore.exceptions import ClientError

from pipeline.chain.ledger import HospitalStatus
from pipeline.consent.consent_log import ConsentLog, publish
from pipeline.domain import LEAST_FOR_RESULT, HospitalName, Kind, RoundId, RoundStatus, Sha256, direct_grace
from pipeline.errors import ContractRefused, RoundAborted, TooFew
from pipeline.evidence import merkle, signing
from pipeline.evidence.canonical import sha256
from pipeline.evidence.membership import membership, study_digest
from pipeline.governance.member_actions import commit_directly
from pipeline.ledger_types.events import StudyId
from pipeline.mpc.sharing import held_by
from pipeline.round import manifests
from pipeline.round.input_set import Inputs
from pipeline.round.journal import Journal
from pipeline.setup import store
from pipeline.setup.members import MemberNames
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity, SigningKey
from pipeline.site.installation import Quota
from pipeline.store import object_keys
from pipeline.store.object_keys import KeyPrefix
from pipeline.store.objects import Store
from pipeline.study.study import Study
from tests.adversary import attack
from tests.support.chains import MANIFEST, ROOT, Actors, named
from tests.support.consortia import HOSPITALS, NODES, Site
from tests.support.dealers import Dealing, damaged, post_as
from tests.support.heaps import heap, heap_versions, reads
from tests.support.intake import signed_sets, take_in_at_all
from tests.support.rounds import Play

pytestmark = pytest.mark.anvil

CEDAR, DAHLIA = HOSPITALS[2:4]
ON_THE_LEDGER = "its account and manifest, on the ledger"


def _commit(actors: Actors, round_id: RoundId, *manifests: Sha256) -> None:
    """The provider takes everything in that was committed directly."""
    direct = {event.hospital: merkle.proof(manifests, event.manifest) for event in actors.ledger.round(round_id).direct}
    actors.send(
        actors.provider, actors.ledger.commit_round_with(actors.ledger.round(round_id), merkle.root(manifests), direct)
    )
    assert actors.ledger.status(round_id) is RoundStatus.COMMITTED


@attack(
    by="hospital",
    to="stop",
    tries="to keep a commit from fitting its deadline, by keys that it moves on to",
    costs="its keys",
    seen=ON_THE_LEDGER,
)
def test_a_hospital_commits_once_under_all_of_its_keys(actors: Actors, study: StudyId) -> None:
    first = actors.hospital()
    other = actors.hospital()
    terms = named(first, other)
    round_id = actors.open(study, study_digest=study_digest(terms))
    actors.commit_directly(round_id, terms, first)
    key = first
    for _ in range(5):
        key = actors.moved_on(key)
        with pytest.raises(ContractRefused, match="AlreadyCommitted"):
            actors.commit_directly(round_id, terms, key, sha256(b"another"), account=first.address)
    assert [event.hospital for event in actors.ledger.round(round_id).direct] == [first.address]
    _commit(actors, round_id, MANIFEST)


@attack(
    by="hospital",
    to="stop",
    tries="to end the round by a direct commit in the last second",
    costs="nothing: it takes part",
    seen=ON_THE_LEDGER,
)
def test_a_late_direct_commit_leaves_time_to_take_it_in(actors: Actors, study: StudyId) -> None:
    own, terms = (key := actors.hospital()), named(key, actors.hospital())
    round_id = actors.open(study, commit_in=3, result_in=3 + LEAST_FOR_RESULT, study_digest=study_digest(terms))
    actors.commit_directly(round_id, terms, own)
    actors.wait_until(actors.ledger.round(round_id).opened.commit_deadline)
    with pytest.raises(ContractRefused, match="DeadlineNotPassed"):
        actors.send(own, actors.ledger.abort_round(round_id))
    _commit(actors, round_id, MANIFEST)
    result = replace(actors.result(round_id), commit_root=merkle.root([MANIFEST]))
    actors.send(actors.provider, actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes[:2])))


@pytest.mark.parametrize("between", [LEAST_FOR_RESULT, LEAST_FOR_RESULT + 1, 119, 120, 121, 900])
@attack(
    by="hospital",
    to="stop",
    tries="to leave the nodes no time by a direct commit in the last second",
    costs="nothing: it takes part",
    seen=ON_THE_LEDGER,
)
def test_a_direct_commit_leaves_the_nodes_half_of_their_time(actors: Actors, study: StudyId, between: int) -> None:
    own, terms = (key := actors.hospital()), named(key, actors.hospital())
    round_id = actors.open(study, commit_in=60, result_in=60 + between, study_digest=study_digest(terms))
    actors.commit_directly(round_id, terms, own)
    with pytest.raises(ContractRefused) as caught:
        actors.send(own, actors.ledger.abort_round(round_id))
    state = actors.ledger.round(round_id)
    assert int(caught.value.arguments["deadline"]) == state.deadline, "the contract and we count alike"
    assert state.deadline == state.opened.commit_deadline + direct_grace(between)
    assert 2 * (state.opened.result_deadline - state.deadline) >= between


@attack(
    by="hospital",
    to="change",
    tries="to commit directly after the deadline",
    costs="nothing",
    seen="nothing: the ledger refuses it",
)
def test_a_direct_commit_after_the_deadline_is_none(actors: Actors, study: StudyId) -> None:
    own, terms = (key := actors.hospital()), named(key, actors.hospital())
    round_id = actors.open(study, commit_in=3, study_digest=study_digest(terms))
    actors.wait_until(actors.ledger.round(round_id).opened.commit_deadline)
    with pytest.raises(ContractRefused, match="DeadlinePassed"):
        actors.commit_directly(round_id, terms, own)
    actors.send(own, actors.ledger.abort_round(round_id))


@attack(
    by="hospital",
    to="stop",
    tries="to spoil the set with another hospital's manifest",
    costs="its own place in the round",
    seen=ON_THE_LEDGER,
)
def test_a_copied_manifest_stands_in_the_set_once(actors: Actors, study: StudyId) -> None:
    own = actors.hospital()
    other = actors.hospital()
    terms = named(own, other)
    round_id = actors.open(study, study_digest=study_digest(terms))
    actors.commit_directly(round_id, terms, other)
    actors.commit_directly(round_id, terms, own, MANIFEST)
    _commit(actors, round_id, MANIFEST, sha256(b"a third one's"))


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
    round_id = play.open()
    play.hospitals(round_id)
    play.commit(round_id)
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


def _of_this_round(actors: Actors, round_id: RoundId, key: SigningKey) -> HospitalStatus:
    return actors.ledger.standings(actors.ledger.round(round_id), [key.address])[key.address]


@attack(
    by="hospital",
    to="stop",
    tries="to end a round by moving on to another key in the midst of it",
    costs="its place in the next round",
    seen="the new key, on the ledger",
)
def test_a_key_that_changes_in_mid_round_changes_the_next_one(actors: Actors, study: StudyId) -> None:
    own = actors.hospital()
    round_id = actors.open(study)
    actors.moved_on(own)
    actors.send(actors.provider, actors.ledger.commit_round(round_id, ROOT))
    assert _of_this_round(actors, round_id, own) is HospitalStatus.AUTHORISED
    result = actors.result(round_id)
    actors.send(actors.provider, actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes)))
    assert _of_this_round(actors, actors.open(study), own) is HospitalStatus.RETIRED


@attack(
    by="hospital",
    to="change",
    tries="to escape its revocation to another key",
    costs="nothing",
    seen="nothing: the ledger refuses it",
)
def test_a_revoked_hospital_moves_on_to_no_key(actors: Actors) -> None:
    own = actors.hospital()
    actors.send(actors.provider, actors.ledger.revoke_hospitals([own.address]))
    with pytest.raises(ContractRefused, match=r"HospitalKeyNotRotatable.*REVOKED"):
        actors.moved_on(own)


@attack(
    by="hospital",
    to="change",
    tries="to go on under a key that it left",
    costs="nothing",
    seen="nothing: the ledger refuses it",
)
def test_a_key_that_was_left_does_nothing(actors: Actors, study: StudyId) -> None:
    own, terms = (key := actors.hospital()), named(key, actors.hospital())
    round_id = actors.open(study, study_digest=study_digest(terms))
    actors.moved_on(own)
    with pytest.raises(ContractRefused, match=r"HospitalNotAuthorised.*RETIRED"):
        actors.commit_directly(round_id, terms, own)
    with pytest.raises(ContractRefused, match=r"HospitalKeyNotRotatable.*RETIRED"):
        actors.moved_on(own)
    with pytest.raises(ContractRefused, match="HospitalAlreadyRegistered"):
        actors.send(own, actors.ledger.register_hospital())


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
    round_id = play.open()
    play.hospitals(round_id)
    play.commit(round_id)
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
    round_id = play.open()
    play.hospitals(round_id, HOSPITALS[:3])
    play.commit(round_id)
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
    dealing = _trained(site, play, round_id, DAHLIA)
    never = sha256(b"never written")
    place = object_keys.statement(round_id, Kind.VALIDATION, DAHLIA)
    dealing.post(dealing.manifest(validation=never))
    heap_versions(site, site.settings.hospital(DAHLIA), place, never, 40, 60)
    asked = reads(monkeypatch)
    play.commit(round_id)
    assert 0 < len([key for key in asked if key.startswith(place.prefix)]) <= place.most + 1
    found = take_in_at_all(site, play, round_id)
    assert [dict(inputs.absent) for inputs in found.values()] == [{DAHLIA: "forged_manifest"}] * 3


def _trained(site: Site, play: Play, round_id: RoundId, name: HospitalName) -> Dealing:
    """What a hospital that has trained would share, for the test to change."""
    for step in ("validate", "train"):
        play.hospital(step, round_id, name)
    return Dealing.honest(site.hospital_context(play, round_id, name))


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
    one, other = (_trained(site, play, round_id, name) for name in (CEDAR, DAHLIA))
    for mine, theirs in ((one, other), (other, one)):
        swapped = mine.sending(theirs.envelopes)
        swapped.post(swapped.manifest(components=theirs.body()["components"]))
    play.commit(round_id)
    for inputs in take_in_at_all(site, play, round_id).values():
        assert set(inputs.digests) == set(honest)
        assert inputs.absent == dict.fromkeys((CEDAR, DAHLIA), "unrecoverable_component")


@pytest.fixture(scope="module")
def late_and_double(site: Site) -> tuple[Sha256, list[Inputs]]:
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


@pytest.mark.minio
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
    dealing = _trained(site, play, round_id, CEDAR)
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
