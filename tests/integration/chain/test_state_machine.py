from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.chain.ledger import HospitalStatus, study_id
from pipeline.domain import LEAST_FOR_RESULT, Address, RoundId, RoundStatus, Sha256
from pipeline.errors import ContractRefused, EvidenceRejected
from pipeline.evidence import merkle
from pipeline.evidence.canonical import joint_digest, sha256
from pipeline.host.secret import Secret
from pipeline.ledger_types.events import StudyId
from pipeline.site.identity import SigningKey
from tests.adversary import attack
from tests.support.chains import DIGEST, MODEL, ROOT, SEALING_KEYS, Actors

pytestmark = pytest.mark.anvil

ZERO = Sha256("00" * 32)


def _key() -> SigningKey:
    return SigningKey(Secret.generate())


def _refused(actors: Actors, key: SigningKey, call: Any, error: str, **arguments: object) -> None:
    with pytest.raises(ContractRefused) as caught:
        actors.send(key, call)
    assert caught.value.error == error
    assert {name: caught.value.arguments[name] for name in arguments} == {
        name: str(value) for name, value in arguments.items()
    }


def test_a_round_goes_from_open_to_finalised_and_is_read_back_whole(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    before = ledger.study(study)
    assert (before.current_model, before.current_round, before.open_round, before.threshold) == (MODEL, 0, None, 2)
    assert before.nodes == tuple(node.address for node in actors.nodes)
    assert ledger.registration(study).initial_model == MODEL

    round_id = actors.open(study)
    assert (ledger.status(round_id), ledger.study(study).open_round) == (RoundStatus.OPEN, round_id)
    actors.send(actors.provider, ledger.commit_round(round_id, ROOT))
    assert ledger.status(round_id) is RoundStatus.COMMITTED
    result = actors.result(round_id)
    signatures = actors.sign(result, actors.nodes[2], actors.nodes[0])
    receipt = actors.send(actors.stranger, ledger.finalise_round(result, signatures))

    state = ledger.round(round_id)
    assert (state.status, state.study, state.result) == (RoundStatus.FINALISED, study, result)
    assert (state.opened.study_digest, state.opened.previous_model) == (DIGEST, MODEL)
    assert state.opened.sealing_keys == joint_digest(SEALING_KEYS)
    assert state.committed is not None
    assert state.committed.root == ROOT
    assert state.finalised is not None
    assert state.finalised.signers == 0b101
    assert (state.finalised.location.transaction, state.finalised.location.block) == (
        receipt.transaction,
        receipt.block,
    )
    assert state.opened.location.time <= state.finalised.location.time <= ledger.block_time()
    assert ledger.signatures(state.finalised) == tuple(signatures)
    assert ledger.verify_model(round_id, result.new_model)
    assert not ledger.verify_model(round_id, MODEL)
    after = ledger.study(study)
    assert (after.current_model, after.current_round, after.open_round) == (result.new_model, round_id, None)
    context = ledger.context(round_id)
    assert (context.contract, context.study_digest, context.previous_model) == (actors.contract, DIGEST, MODEL)


def test_three_rounds_continue_one_model(actors: Actors, study: StudyId) -> None:
    models = [MODEL]
    for number in range(3):
        round_id = actors.committed(study)
        result = actors.result(round_id, sha256(b"%d" % number))
        actors.send(actors.nodes[0], actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes)))
        models.append(result.new_model)
    found = actors.ledger.rounds(study)
    assert [state.opened.previous_model for state in found] == models[:-1]
    assert [state.finalised.new_model for state in found if state.finalised] == models[1:]
    assert [state.round for state in found] == sorted(state.round for state in found)
    assert {state.round for state in found} < {
        state.round for state in actors.ledger.rounds()
    } or found == actors.ledger.rounds()


def test_hospitals_register_and_the_provider_authorises_and_revokes_them(actors: Actors) -> None:
    ledger = actors.ledger
    hospitals = [_key(), _key()]
    addresses = [hospital.address for hospital in hospitals]
    assert ledger.hospital(addresses[0]) is HospitalStatus.UNKNOWN
    for hospital in hospitals:
        actors.send(hospital, ledger.register_hospital())
    assert ledger.hospital(addresses[0]) is HospitalStatus.REGISTERED
    actors.send(actors.provider, ledger.authorise_hospitals(addresses))
    assert {ledger.hospital(address) for address in addresses} == {HospitalStatus.AUTHORISED}
    actors.send(actors.provider, ledger.revoke_hospitals(addresses[:1]))
    assert [ledger.hospital(address) for address in addresses] == [HospitalStatus.REVOKED, HospitalStatus.AUTHORISED]
    actors.send(actors.provider, ledger.authorise_hospitals(addresses[:1]))
    assert ledger.hospital(addresses[0]) is HospitalStatus.AUTHORISED


def test_errors_about_hospitals(actors: Actors) -> None:
    ledger = actors.ledger
    hospital = _key()
    unknown = _key()
    actors.send(hospital, ledger.register_hospital())
    _refused(actors, hospital, ledger.register_hospital(), "HospitalAlreadyRegistered", hospital=hospital.address)
    _refused(actors, hospital, ledger.authorise_hospitals([hospital.address]), "NotProvider", caller=hospital.address)
    _refused(actors, hospital, ledger.revoke_hospitals([hospital.address]), "NotProvider", caller=hospital.address)
    both = [hospital.address, unknown.address]
    _refused(
        actors,
        actors.provider,
        ledger.authorise_hospitals(both),
        "HospitalNotAuthorisable",
        hospital=unknown.address,
        got="UNKNOWN",
    )
    assert ledger.hospital(hospital.address) is HospitalStatus.REGISTERED, "a batch is all or none"
    _refused(
        actors,
        actors.provider,
        ledger.revoke_hospitals(both),
        "HospitalNotAuthorised",
        hospital=hospital.address,
        got="REGISTERED",
    )
    actors.send(actors.provider, ledger.authorise_hospitals([hospital.address]))
    _refused(
        actors,
        actors.provider,
        ledger.authorise_hospitals([hospital.address]),
        "HospitalNotAuthorisable",
        got="AUTHORISED",
    )


def test_errors_about_studies(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    provider = actors.provider
    nodes = [node.address for node in actors.nodes]
    new = study_id("errors about studies")
    _refused(
        actors, actors.stranger, ledger.register_study(new, nodes, MODEL), "NotProvider", caller=actors.stranger.address
    )
    _refused(actors, provider, ledger.register_study(study, nodes, MODEL), "StudyAlreadyRegistered", studyId=study)
    _refused(actors, provider, ledger.register_study(new, nodes[:2], MODEL), "InvalidNodeCount", got=2)
    _refused(
        actors,
        provider,
        ledger.register_study(new, [_key().address for _ in range(17)], MODEL),
        "InvalidNodeCount",
        got=17,
    )
    _refused(actors, provider, ledger.register_study(new, [*nodes, nodes[1]], MODEL), "InvalidNode", node=nodes[1])
    nobody = Address("0x" + "00" * 20)
    _refused(actors, provider, ledger.register_study(new, [*nodes, nobody], MODEL), "InvalidNode", node=nobody)
    _refused(actors, provider, ledger.register_study(new, nodes, ZERO), "ZeroDigest")
    with pytest.raises(EvidenceRejected, match="the provider registers it first"):
        ledger.study(new)


@pytest.mark.parametrize(("count", "threshold"), [(3, 2), (4, 3), (5, 3), (16, 9)])
def test_the_threshold_is_a_majority_of_all_nodes(actors: Actors, count: int, threshold: int) -> None:
    study = study_id(f"threshold of {count}")
    actors.send(actors.provider, actors.ledger.register_study(study, [_key().address for _ in range(count)], MODEL))
    assert actors.ledger.study(study).threshold == threshold


def _opening_refused(actors: Actors, study: StudyId, error: str, arguments: dict[str, object], **terms: Any) -> None:
    with pytest.raises(ContractRefused) as caught:
        actors.open(study, **terms)
    assert caught.value.error == error
    assert arguments.items() <= caught.value.arguments.items()


def test_errors_about_opening(actors: Actors, study: StudyId) -> None:
    _opening_refused(actors, study, "NotProvider", {"caller": actors.nodes[0].address}, sender=actors.nodes[0])
    _opening_refused(actors, study_id("nobody's"), "UnknownStudy", {"studyId": study_id("nobody's")})
    _opening_refused(actors, study, "InvalidRoundId", {"round": "0"}, round_id=0)
    _opening_refused(actors, study, "StalePreviousModel", {"got": "66" * 32}, previous_model=Sha256("66" * 32))
    _opening_refused(actors, study, "ZeroDigest", {}, study_digest=ZERO)
    _opening_refused(actors, study, "InvalidDeadlines", {}, commit_in=-1)
    _opening_refused(actors, study, "InvalidDeadlines", {}, commit_in=100, result_in=100 + LEAST_FOR_RESULT - 1)
    _opening_refused(actors, study, "InvalidRoundId", {"round": str(1 << 40)}, round_id=1 << 40)
    assert actors.ledger.study(study).open_round is None


def test_a_study_has_one_open_round_and_other_studies_are_free(actors: Actors, study: StudyId) -> None:
    round_id = actors.open(study)
    _opening_refused(actors, study, "RoundStillOpen", {"studyId": study, "round": str(round_id)})
    actors.send(actors.provider, actors.ledger.commit_round(round_id, ROOT))
    _opening_refused(actors, study, "RoundStillOpen", {"studyId": study, "round": str(round_id)})
    other = actors.new_study("the free one")
    _opening_refused(actors, other, "InvalidRoundId", {"round": str(round_id)}, round_id=round_id)
    assert actors.ledger.status(actors.open(other)) is RoundStatus.OPEN


def test_errors_about_commits(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    never = RoundId(10**9)
    _refused(
        actors, actors.provider, ledger.commit_round(never, ROOT), "WrongStatus", round=never, got="NONE", wanted="OPEN"
    )
    round_id = actors.open(study)
    _refused(
        actors,
        actors.stranger,
        ledger.commit_round(round_id, ROOT),
        "NotCommitter",
        studyId=study,
        caller=actors.stranger.address,
    )
    _refused(actors, actors.provider, ledger.commit_round(round_id, ZERO), "ZeroDigest")
    actors.send(actors.provider, ledger.commit_round(round_id, ROOT))
    _refused(
        actors, actors.provider, ledger.commit_round(round_id, ROOT), "WrongStatus", got="COMMITTED", wanted="OPEN"
    )


@attack(
    by="provider",
    to="delay",
    tries="to hold a commit back",
    costs="nothing: it may be down",
    seen="a commit by a node",
)
def test_a_node_may_commit_when_the_provider_does_not(actors: Actors, study: StudyId) -> None:
    round_id = actors.open(study)
    actors.send(actors.nodes[1], actors.ledger.commit_round(round_id, ROOT))
    assert actors.ledger.status(round_id) is RoundStatus.COMMITTED


def test_a_node_of_another_study_may_not_commit(actors: Actors, study: StudyId) -> None:
    foreign = _key()
    nodes = [foreign.address, *(node.address for node in actors.nodes[1:])]
    actors.send(actors.provider, actors.ledger.register_study(study_id("the foreign node's"), nodes, MODEL))
    _refused(actors, foreign, actors.ledger.commit_round(actors.open(study), ROOT), "NotCommitter", studyId=study)


def test_an_open_round_is_aborted_only_after_its_commit_deadline(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    round_id = actors.open(study, commit_in=3)
    deadline = ledger.round(round_id).deadline
    assert deadline is not None
    _refused(
        actors, actors.stranger, ledger.abort_round(round_id), "DeadlineNotPassed", round=round_id, deadline=deadline
    )
    actors.wait_until(deadline)
    _refused(
        actors,
        actors.provider,
        ledger.commit_round(round_id, ROOT),
        "DeadlinePassed",
        round=round_id,
        deadline=deadline,
    )
    _opening_refused(actors, study, "RoundStillOpen", {"round": str(round_id)})
    actors.send(actors.stranger, ledger.abort_round(round_id))
    state = ledger.round(round_id)
    assert state.aborted is not None
    assert (state.status, state.aborted.aborted_from, state.result) == (RoundStatus.ABORTED, RoundStatus.OPEN, None)
    assert ledger.study(study).current_model == MODEL
    _refused(actors, actors.stranger, ledger.abort_round(round_id), "WrongStatus", got="ABORTED")
    _opening_refused(actors, study, "InvalidRoundId", {"round": str(round_id)}, round_id=round_id)
    assert ledger.status(actors.open(study)) is RoundStatus.OPEN


def test_a_committed_round_is_aborted_only_after_its_result_deadline(actors: Actors, study: StudyId) -> None:
    ledger = actors.ledger
    round_id = actors.committed(study, commit_in=2, result_in=2 + LEAST_FOR_RESULT)
    opened = ledger.round(round_id).opened
    actors.wait_until(opened.commit_deadline)
    _refused(
        actors, actors.provider, ledger.abort_round(round_id), "DeadlineNotPassed", deadline=opened.result_deadline
    )
    actors.wait_until(opened.result_deadline)
    result = actors.result(round_id)
    late = ledger.finalise_round(result, actors.sign(result, *actors.nodes))
    _refused(actors, actors.provider, late, "DeadlinePassed", round=round_id, deadline=opened.result_deadline)
    actors.send(actors.nodes[0], ledger.abort_round(round_id))
    aborted = ledger.round(round_id).aborted
    assert aborted is not None
    assert aborted.aborted_from is RoundStatus.COMMITTED
    _refused(actors, actors.provider, late, "WrongStatus", got="ABORTED", wanted="COMMITTED")
    assert ledger.study(study).current_model == MODEL
    assert not ledger.verify_model(round_id, result.new_model)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 20])
def test_the_contract_finds_each_manifest_under_our_merkle_root(actors: Actors, count: int) -> None:
    manifests = [sha256(b"manifest %d" % index) for index in range(count)]
    root = merkle.root(manifests)
    for manifest in manifests:
        assert actors.ledger.verify_commit(root, manifest, merkle.proof(manifests, manifest))
    assert not actors.ledger.verify_commit(root, sha256(b"a stranger's"), merkle.proof(manifests, manifests[0]))


def test_a_finalised_round_never_changes(actors: Actors, study: StudyId) -> None:
    round_id = actors.committed(study)
    result = actors.result(round_id)
    actors.send(actors.provider, actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes)))
    other = replace(result, new_model=Sha256("41" * 32))
    again = actors.ledger.finalise_round(other, actors.sign(other, *actors.nodes))
    _refused(actors, actors.provider, again, "WrongStatus", got="FINALISED", wanted="COMMITTED")
    _refused(actors, actors.provider, actors.ledger.abort_round(round_id), "WrongStatus", got="FINALISED")
    _refused(actors, actors.provider, actors.ledger.commit_round(round_id, ROOT), "WrongStatus", got="FINALISED")
    assert actors.ledger.round(round_id).result == result
