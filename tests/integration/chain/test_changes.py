"""What nodes, hospitals and the provider change on a real chain, through our own calls and signatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline.chain.ledger import HospitalStatus
from pipeline.domain import Address, Change, NodeKey, NodeSet, Release, RoundId, RoundStatus, Sha256
from pipeline.errors import ContractRefused, EvidenceRejected
from pipeline.evidence import merkle
from pipeline.evidence.canonical import sha256
from pipeline.evidence.membership import study_digest
from pipeline.evidence.signing import changer, sign_change
from pipeline.host.secret import Secret
from pipeline.ledger_types.events import StudyId
from pipeline.site.identity import SigningKey
from tests.support.chains import CHAIN_ID, NEW_MODEL, ROOT, Actors, named

pytestmark = pytest.mark.anvil


def _key() -> SigningKey:
    return SigningKey(Secret.generate())


def _signed(actors: Actors, change: Change, *keys: SigningKey) -> list[str]:
    return [sign_change(change, CHAIN_ID, actors.contract, key) for key in keys]


def _addresses(keys: Sequence[SigningKey]) -> tuple[Address, ...]:
    return tuple(key.address for key in keys)


def _finish(actors: Actors, study: StudyId) -> None:
    round_id = actors.committed(study)
    result = actors.result(round_id, sha256(b"%d" % round_id))
    actors.send(actors.stranger, actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes[:2])))


def test_a_majority_releases_a_hospital_between_rounds(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    hospital = _key().address
    _finish(actors, study)
    release = Release(study, 1, hospital)
    both = _signed(actors, release, *actors.nodes[:2])
    signers = [changer(release, signature, CHAIN_ID, actors.contract) for signature in both]
    assert signers == [node.address for node in actors.nodes[:2]]
    with pytest.raises(EvidenceRejected, match="want what its owner signed"):
        changer(release, both[0][2:], CHAIN_ID, actors.contract)
    with pytest.raises(ContractRefused, match="NoMajority"):
        actors.send(actors.provider, ledger.release_hospital(study, hospital, both[:1]))
    (last,) = ledger.rounds(study)
    assert ledger.released(study, last) == ()
    actors.send(actors.stranger, ledger.release_hospital(study, hospital, both))
    assert ledger.released(study, last) == (hospital,)
    assert ledger.study(study).changes == 1
    with pytest.raises(ContractRefused, match="NotANode"):
        actors.send(actors.stranger, ledger.release_hospital(study, hospital, both))
    _finish(actors, study)
    assert ledger.released(study, ledger.rounds(study)[-1]) == ()


def test_a_majority_changes_the_nodes_and_old_rounds_keep_theirs(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    four = [*actors.nodes, _key()]
    _finish(actors, study)
    nodes = _addresses(four)
    both = _signed(actors, NodeSet(study, 1, nodes), *actors.nodes[1:])
    actors.send(actors.stranger, ledger.change_nodes(study, nodes, both))
    round_id = actors.committed(study)
    result = actors.result(round_id, sha256(b"by four"))
    with pytest.raises(ContractRefused, match="NoMajority"):
        actors.send(actors.stranger, ledger.finalise_round(result, actors.sign(result, *four[:2])))
    actors.send(actors.stranger, ledger.finalise_round(result, actors.sign(result, *four[1:])))
    old, new = ledger.rounds(study)
    assert (ledger.nodes(old).nodes, ledger.nodes(old).threshold) == (_addresses(actors.nodes), 2)
    assert (ledger.nodes(new).nodes, ledger.nodes(new).threshold) == (nodes, 3)
    assert (ledger.study(study).epoch, new.finalised and new.finalised.signers) == (2, 0b1110)


def test_a_majority_rotates_a_nodes_key(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    successor = _key()
    (first, second, third) = actors.nodes
    change = NodeKey(study, 1, first.address, successor.address)
    actors.send(
        first, ledger.rotate_node_key(study, first.address, successor.address, _signed(actors, change, second, third))
    )
    assert ledger.study(study).nodes == _addresses([successor, second, third])
    with pytest.raises(EvidenceRejected, match="got no node of study"):
        ledger.suspended(study, first.address)


def test_the_provider_alone_neither_replaces_the_nodes_nor_finalises(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    mine = [_key() for _ in range(3)]
    nodes = _addresses(mine)
    for keys in ([], [actors.provider], mine):
        with pytest.raises(ContractRefused, match=r"NoMajority|NotANode"):
            actors.send(
                actors.provider, ledger.change_nodes(study, nodes, _signed(actors, NodeSet(study, 1, nodes), *keys))
            )
    result = actors.result(actors.committed(study))
    for keys in ([], [actors.provider], mine):
        with pytest.raises(ContractRefused, match=r"NoMajority|NotANode"):
            actors.send(actors.provider, ledger.finalise_round(result, actors.sign(result, *keys)))
    assert ledger.status(result.round) is RoundStatus.COMMITTED


def test_a_node_that_signed_two_results_is_suspended(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    node = actors.nodes[0]
    first = actors.result(actors.committed(study))
    second = replace(first, new_model=Sha256("41" * 32))
    (one,) = actors.sign(first, node)
    (other,) = actors.sign(second, node)
    actors.send(actors.stranger, ledger.report_equivocation(first, one, second, other))
    assert ledger.suspended(study, node.address)
    with pytest.raises(ContractRefused, match="SuspendedNode"):
        actors.send(actors.stranger, ledger.finalise_round(first, actors.sign(first, *actors.nodes)))
    actors.send(actors.stranger, ledger.finalise_round(first, actors.sign(first, *actors.nodes[1:])))
    assert ledger.study(study).current_model == NEW_MODEL


def test_a_node_that_signed_a_result_and_an_end_is_suspended(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    node = actors.nodes[0]
    result = actors.result(actors.committed(study))
    end = actors.end(result.round, actors.stranger.address)
    (vote,) = actors.sign(result, node)
    (ended,) = actors.sign_end(end, node)
    actors.send(actors.stranger, ledger.report_equivocation(end, ended, result, vote))
    assert ledger.suspended(study, node.address)
    actors.send_end(end, actors.sign_end(end, *actors.nodes[1:]))
    assert ledger.status(result.round) is RoundStatus.ABORTED


def test_a_node_that_signed_two_ends_is_suspended(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    node = actors.nodes[0]
    first = actors.end(actors.committed(study))
    second = replace(first, blamed=(actors.stranger.address, actors.provider.address))
    (one,) = actors.sign_end(first, node)
    (other,) = actors.sign_end(second, node)
    actors.send(actors.stranger, ledger.report_equivocation(first, one, second, other))
    assert ledger.suspended(study, node.address)


def test_a_hospital_commits_directly_and_no_set_without_it_is_taken(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    hospitals = [actors.hospital() for _ in range(3)]
    terms = named(*hospitals)
    round_id = actors.open(study, study_digest=study_digest(terms))
    manifests = [sha256(b"manifest %d" % index) for index in range(5)]
    for hospital, manifest in zip(hospitals[:2], manifests, strict=False):
        actors.commit_directly(round_id, terms, hospital, manifest)
    root = merkle.root(manifests)
    proofs = {event.hospital: merkle.proof(manifests, event.manifest) for event in ledger.round(round_id).direct}
    assert set(proofs) == set(_addresses(hospitals[:2]))
    state = ledger.round(round_id)
    for ignored in (
        ledger.commit_round(round_id, root),
        ledger.commit_round_with(state, root, dict(list(proofs.items())[:1])),
    ):
        with pytest.raises(ContractRefused, match="DirectCommitsIgnored"):
            actors.send(actors.provider, ignored)
    without = merkle.root(manifests[1:])
    with pytest.raises(ContractRefused, match="DirectCommitNotUnderRoot"):
        actors.send(actors.provider, ledger.commit_round_with(state, without, proofs))
    actors.send(actors.provider, ledger.commit_round_with(state, root, proofs))
    committed = ledger.round(round_id).committed
    assert committed is not None
    assert committed.root == root


def test_a_revoked_hospital_commits_nothing(actors: Actors, study: StudyId) -> None:
    hospital, terms = (key := actors.hospital()), named(key, actors.hospital())
    actors.send(actors.provider, actors.ledger.revoke_hospitals([hospital.address]))
    with pytest.raises(ContractRefused, match="HospitalNotAuthorised"):
        actors.commit_directly(actors.open(study, study_digest=study_digest(terms)), terms, hospital)


def test_a_hospital_moves_on_to_another_key(actors: Actors) -> None:
    ledger = actors.ledger
    old = actors.hospital()
    new = actors.moved_on(old)
    assert (ledger.hospital(old.address), ledger.hospital(new.address)) == (
        HospitalStatus.RETIRED,
        HospitalStatus.AUTHORISED,
    )


def _standings(actors: Actors, round_id: RoundId, *accounts: Address) -> list[HospitalStatus]:
    state = actors.ledger.round(round_id)
    return list(actors.ledger.standings(state, accounts).values())


def test_a_round_keeps_the_keys_of_its_opening_and_whom_the_provider_had_authorised_by_the_commit(
    actors: Actors, study: StudyId
) -> None:
    ledger = actors.ledger
    provider = actors.provider
    mover, revoked, out, new = (actors.hospital() for _ in range(4))
    actors.send(provider, ledger.revoke_hospitals([out.address]))
    waiting = _key()
    actors.send(waiting, ledger.register_hospital())
    accounts = [key.address for key in (mover, revoked, out, waiting, _key())]
    round_id = actors.open(study)
    moved = actors.moved_on(mover)
    actors.send(provider, ledger.commit_round(round_id, ROOT))
    as_of_commit = [
        HospitalStatus.AUTHORISED,
        HospitalStatus.AUTHORISED,
        HospitalStatus.REVOKED,
        HospitalStatus.REGISTERED,
        HospitalStatus.UNKNOWN,
    ]
    assert _standings(actors, round_id, *accounts) == as_of_commit
    actors.send(provider, ledger.revoke_hospitals([moved.address, revoked.address, new.address]))
    actors.send(provider, ledger.authorise_hospitals([out.address, waiting.address]))
    assert _standings(actors, round_id, *accounts) == as_of_commit
    actors.send(provider, ledger.authorise_hospitals([moved.address]))
    assert _standings(actors, round_id, *accounts) == as_of_commit
    result = actors.result(round_id)
    actors.send(provider, ledger.finalise_round(result, actors.sign(result, *actors.nodes)))

    following = actors.open(study)
    assert _standings(actors, following, *accounts, moved.address) == [
        HospitalStatus.RETIRED,
        HospitalStatus.REVOKED,
        HospitalStatus.AUTHORISED,
        HospitalStatus.AUTHORISED,
        HospitalStatus.UNKNOWN,
        HospitalStatus.AUTHORISED,
    ]


def test_the_provider_changes_in_two_steps(actors: Actors, tmp_path_factory: pytest.TempPathFactory) -> None:
    own = Actors(actors.url, tmp_path_factory.mktemp("transfer"))
    study = own.new_study("transferred")
    own.send(own.provider, own.ledger.transfer_provider(own.stranger.address))
    assert own.ledger.provider() == own.provider.address
    own.send(own.stranger, own.ledger.accept_provider())
    assert own.ledger.provider() == own.stranger.address
    with pytest.raises(ContractRefused, match="NotProvider"):
        own.open(study)
    assert own.ledger.status(own.open(study, sender=own.stranger)) is RoundStatus.OPEN
