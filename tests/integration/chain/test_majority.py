from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.domain import Result, RoundStatus, Sha256
from pipeline.errors import ContractRefused, EvidenceRejected, Misconfigured
from pipeline.evidence.signing import check_vote, sign_vote
from pipeline.ledger_types.events import StudyId
from tests.adversary import attack
from tests.support.chains import CHAIN_ID, ROOT, Actors

pytestmark = pytest.mark.anvil

_SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture
def result(actors: Actors, study: StudyId) -> Result:
    """A result that fits a committed round of this test's own study."""
    return actors.result(actors.committed(study))


def _refused(actors: Actors, result: Result, signatures: list[str], error: str, **arguments: object) -> None:
    with pytest.raises(ContractRefused) as caught:
        actors.send(actors.stranger, actors.ledger.finalise_round(result, signatures))
    assert caught.value.error == error
    assert {name: caught.value.arguments[name] for name in arguments} == {
        name: str(value) for name, value in arguments.items()
    }
    assert actors.ledger.status(result.round) is RoundStatus.COMMITTED


def test_two_of_three_nodes_finalise(actors: Actors, result: Result) -> None:
    actors.send(actors.stranger, actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes[:2])))
    assert actors.ledger.status(result.round) is RoundStatus.FINALISED


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_a_majority_do_not(actors: Actors, result: Result, study: StudyId, count: int) -> None:
    signatures = actors.sign(result, *actors.nodes[:count])
    _refused(actors, result, signatures, "NoMajority", studyId=study, got=count, wanted=2)


def test_one_node_twice_is_no_majority(actors: Actors, result: Result) -> None:
    node = actors.nodes[1]
    _refused(actors, result, actors.sign(result, node, node), "DuplicateSigner", signer=node.address)


@pytest.mark.parametrize("signer", ["stranger", "provider"])
def test_a_foreign_signature_spoils_the_call(actors: Actors, result: Result, signer: str) -> None:
    foreign = getattr(actors, signer)
    _refused(actors, result, actors.sign(result, *actors.nodes[:2], foreign), "NotANode", signer=foreign.address)


@pytest.mark.parametrize(
    "change",
    [
        {"study_digest": Sha256("21" * 32)},
        {"commit_root": Sha256("31" * 32)},
        {"verdicts": 0b11111},
        {"previous_model": Sha256("11" * 32)},
        {"new_model": Sha256("41" * 32)},
        {"record": Sha256("51" * 32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_signatures_over_another_result_do_not_count(actors: Actors, result: Result, change: dict[str, object]) -> None:
    signed = replace(result, **change)  # type: ignore[arg-type]
    _refused(actors, result, actors.sign(signed, *actors.nodes), "NotANode")


def test_signatures_of_another_round_do_not_count(actors: Actors, result: Result, study: StudyId) -> None:
    other = replace(result, round=result.round + 1)  # type: ignore[arg-type]
    _refused(actors, result, actors.sign(other, *actors.nodes), "NotANode")


def test_the_signatures_of_a_finalised_round_do_not_finalise_the_next(
    actors: Actors, result: Result, study: StudyId
) -> None:
    signatures = actors.sign(result, *actors.nodes)
    actors.send(actors.stranger, actors.ledger.finalise_round(result, signatures))
    following = actors.committed(study)
    _refused(actors, actors.result(following), signatures, "NotANode")


@pytest.mark.parametrize("elsewhere", ["chain", "contract"])
@attack(
    by="provider",
    to="change",
    tries="to end a round with signatures for another ledger",
    costs="nothing",
    seen="nothing: the ledger refuses it",
)
def test_signatures_for_another_ledger_do_not_count(actors: Actors, result: Result, elsewhere: str) -> None:
    chain_id = CHAIN_ID + 1 if elsewhere == "chain" else CHAIN_ID
    contract = actors.stranger.address if elsewhere == "contract" else actors.contract
    _refused(
        actors,
        result,
        [sign_vote("node", result, chain_id, contract, node).signature for node in actors.nodes],
        "NotANode",
    )


def test_a_flipped_byte_in_a_signature_spoils_it(actors: Actors, result: Result) -> None:
    first, second = (bytes.fromhex(signature) for signature in actors.sign(result, *actors.nodes[:2]))
    damaged = first[:7] + bytes([first[7] ^ 1]) + first[8:]
    with pytest.raises(ContractRefused) as caught:
        actors.send(actors.stranger, actors.ledger.finalise_round(result, [damaged.hex(), second.hex()]))
    assert caught.value.error in {"NotANode", "ECDSAInvalidSignature"}


@attack(
    by="stranger",
    to="change",
    tries="to count a node's signature a second time in its other spelling",
    costs="nothing",
    seen="nothing: the ledger takes no such transaction",
)
def test_a_malleable_copy_of_a_signature_is_refused(actors: Actors, result: Result) -> None:
    raw = bytes.fromhex(actors.sign(result, actors.nodes[0])[0])
    mirrored = _SECP256K1_ORDER - int.from_bytes(raw[32:64], "big")
    twin = raw[:32] + mirrored.to_bytes(32, "big") + bytes([27 + 28 - raw[64]])
    with pytest.raises(Misconfigured, match="got a signature of 65 bytes"):
        actors.ledger.finalise_round(result, [raw.hex(), twin.hex()])
    vote = sign_vote("node", result, CHAIN_ID, actors.contract, actors.nodes[0])
    with pytest.raises(EvidenceRejected, match="malformed signature"):
        check_vote(replace(vote, signature=twin.hex()), CHAIN_ID, actors.contract, actors.nodes[0].address)


def test_a_short_signature_is_refused(actors: Actors, result: Result) -> None:
    with pytest.raises(Misconfigured, match="got a signature of 64 bytes, want 65"):
        actors.ledger.finalise_round(result, ["00" * 64])


@pytest.mark.parametrize("field", ["new_model", "record"])
def test_a_result_without_a_model_or_record_is_refused(actors: Actors, result: Result, field: str) -> None:
    empty = replace(result, **{field: Sha256("00" * 32)})  # type: ignore[arg-type]
    _refused(actors, empty, actors.sign(empty, *actors.nodes), "ZeroDigest")


def test_a_round_without_a_commit_cannot_be_finalised(actors: Actors, study: StudyId) -> None:
    result = actors.result(actors.open(study))
    with pytest.raises(ContractRefused) as caught:
        actors.send(actors.stranger, actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes)))
    assert (caught.value.error, caught.value.arguments["got"]) == ("WrongStatus", "OPEN")


def test_the_root_that_an_aborted_round_left_behind_does_not_count(actors: Actors, study: StudyId) -> None:
    first = actors.committed(study, commit_in=2, result_in=12)
    actors.wait_until(actors.ledger.round(first).opened.result_deadline)
    actors.send(actors.stranger, actors.ledger.abort_round(first))
    second = actors.open(study)
    actors.send(actors.provider, actors.ledger.commit_round(second, Sha256("32" * 32)))
    stale = replace(actors.result(second), commit_root=ROOT)
    _refused(actors, stale, actors.sign(stale, *actors.nodes), "NotANode")
