from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import pytest
from eth_account.messages import encode_typed_data

from pipeline.domain import Abort, Address, Context, Kind, Reason, Result, RoundId, Sha256, Statement
from pipeline.errors import EvidenceRejected
from pipeline.evidence import signing
from pipeline.evidence.canonical import digest
from pipeline.host.secret import Secret
from pipeline.site.identity import SigningKey
from tests.adversary import attack

KEY = SigningKey(Secret(bytes(31) + b"\x01"))
OTHER = SigningKey(Secret(bytes(31) + b"\x02"))
CONTEXT = Context(
    31337, Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"), Sha256("11" * 32), RoundId(7), Sha256("22" * 32)
)
BODY = {"rows": "100-199", "passed": True, "hospital": "north"}
RESULT = Result(
    RoundId(7), Sha256("11" * 32), Sha256("33" * 32), 0b1011, Sha256("22" * 32), Sha256("44" * 32), Sha256("55" * 32)
)

OTHER_CONTEXTS = {
    "chain": replace(CONTEXT, chain_id=1),
    "contract": replace(CONTEXT, contract=OTHER.address),
    "study": replace(CONTEXT, study_digest=Sha256("12" * 32)),
    "round": replace(CONTEXT, round=RoundId(8)),
    "model": replace(CONTEXT, previous_model=Sha256("23" * 32)),
}
OTHER_RESULTS = {
    "round": replace(RESULT, round=RoundId(8)),
    "study_digest": replace(RESULT, study_digest=Sha256("12" * 32)),
    "commit_root": replace(RESULT, commit_root=Sha256("34" * 32)),
    "verdicts": replace(RESULT, verdicts=0b1111),
    "previous_model": replace(RESULT, previous_model=Sha256("23" * 32)),
    "new_model": replace(RESULT, new_model=Sha256("45" * 32)),
    "record": replace(RESULT, record=Sha256("56" * 32)),
}
STATEMENT_KINDS = [kind for kind in Kind if kind not in (Kind.VOTE, Kind.ABORT)]
ABORT = Abort(
    RoundId(7),
    Sha256("11" * 32),
    Sha256("33" * 32),
    Sha256("22" * 32),
    Reason.TOO_FEW_ACCEPTED,
    (KEY.address, OTHER.address),
)
OTHER_ABORTS = {
    "round": replace(ABORT, round=RoundId(8)),
    "study_digest": replace(ABORT, study_digest=Sha256("12" * 32)),
    "commit_root": replace(ABORT, commit_root=Sha256("34" * 32)),
    "previous_model": replace(ABORT, previous_model=Sha256("23" * 32)),
    "reason": replace(ABORT, reason=Reason.ENGINE_FAILED),
    "blamed": replace(ABORT, blamed=(KEY.address,)),
}


@pytest.fixture
def statement() -> Statement:
    return signing.sign(Kind.MANIFEST, "north", BODY, CONTEXT, KEY)


@pytest.fixture
def vote() -> Statement:
    return signing.sign_vote("alpha", RESULT, CONTEXT.chain_id, CONTEXT.contract, KEY)


@pytest.mark.parametrize("kind", STATEMENT_KINDS)
def test_a_statement_holds_for_its_signer(kind: Kind) -> None:
    signing.check(signing.sign(kind, "north", BODY, CONTEXT, KEY), kind, CONTEXT, KEY.address)


@pytest.mark.parametrize("kind", STATEMENT_KINDS)
@pytest.mark.parametrize("context", [CONTEXT, *OTHER_CONTEXTS.values()], ids=["own", *OTHER_CONTEXTS])
def test_what_is_signed_is_the_typed_data_of_eip_712(kind: Kind, context: Context) -> None:
    fields = {"round": "uint64", "studyDigest": "bytes32", "previousModel": "bytes32", "content": "bytes32"}
    domain = {"name": "Wardround", "version": "1", "chainId": context.chain_id, "verifyingContract": context.contract}
    content = {
        "round": context.round,
        "studyDigest": bytes.fromhex(context.study_digest),
        "previousModel": bytes.fromhex(context.previous_model),
        "content": bytes.fromhex(digest(BODY)),
    }
    types = {kind.value: [{"name": name, "type": form} for name, form in fields.items()]}
    assert signing._statement_message(kind, BODY, context) == encode_typed_data(domain, types, content)


@pytest.mark.parametrize(
    "result", [RESULT, replace(RESULT, round=RoundId(2**64 - 1), verdicts=2**256 - 1), replace(RESULT, verdicts=0)]
)
def test_a_vote_signs_the_typed_data_of_eip_712_as_the_contract_checks_it(result: Result) -> None:
    names = {"round": "round", "study_digest": "studyDigest", "commit_root": "commitRoot", "verdicts": "verdicts"}
    names |= {"previous_model": "previousModel", "new_model": "newModel", "record": "record"}
    domain = {"name": "Wardround", "version": "1", "chainId": CONTEXT.chain_id, "verifyingContract": CONTEXT.contract}
    values = {field: getattr(result, field) for field in names}
    content = {
        names[field]: bytes.fromhex(value) if isinstance(value, str) else value for field, value in values.items()
    }
    forms = {"round": "uint64", "verdicts": "uint256"}
    types = {"Result": [{"name": name, "type": forms.get(name, "bytes32")} for name in names.values()]}
    assert signing._decision_message(result, CONTEXT.chain_id, CONTEXT.contract) == encode_typed_data(
        domain, types, content
    )


@pytest.mark.parametrize("abort", [ABORT, replace(ABORT, blamed=()), *OTHER_ABORTS.values()])
def test_an_abort_signs_the_typed_data_of_eip_712_as_the_contract_checks_it(abort: Abort) -> None:
    names = {"study_digest": "studyDigest", "commit_root": "commitRoot", "previous_model": "previousModel"}
    domain = {"name": "Wardround", "version": "1", "chainId": CONTEXT.chain_id, "verifyingContract": CONTEXT.contract}
    content = {"round": abort.round, **{name: bytes.fromhex(getattr(abort, field)) for field, name in names.items()}}
    content |= {"reason": abort.reason.encode().ljust(32, b"\0"), "blamed": list(abort.blamed)}
    forms = {"round": "uint64", "blamed": "address[]"}
    types = {"Abort": [{"name": name, "type": forms.get(name, "bytes32")} for name in content]}
    assert signing._decision_message(abort, CONTEXT.chain_id, CONTEXT.contract) == encode_typed_data(
        domain, types, content
    )


def test_whoever_signed_a_result_is_found_from_the_signature_alone() -> None:
    vote = signing.sign_vote("alder", RESULT, CONTEXT.chain_id, CONTEXT.contract, KEY)
    assert signing.voter(RESULT, vote.signature, CONTEXT.chain_id, CONTEXT.contract) == KEY.address
    assert signing.voter(replace(RESULT, verdicts=1), vote.signature, CONTEXT.chain_id, CONTEXT.contract) != KEY.address
    for malformed in ("", "zz", vote.signature[:-2], vote.signature[:-2] + "1d", "00" * 64 + "1b"):
        with pytest.raises(EvidenceRejected, match="malformed signature"):
            signing.voter(RESULT, malformed, CONTEXT.chain_id, CONTEXT.contract)


@pytest.mark.parametrize("field", ["study_digest", "previous_model"])
def test_a_context_without_digests_is_refused(field: str) -> None:
    with pytest.raises(EvidenceRejected, match="no SHA-256"):
        signing.sign(Kind.MANIFEST, "north", BODY, replace(CONTEXT, **{field: "1122"}), KEY)


def test_signing_twice_gives_the_same_bytes(statement: Statement) -> None:
    assert signing.to_bytes(signing.sign(Kind.MANIFEST, "north", BODY, CONTEXT, KEY)) == signing.to_bytes(statement)


def test_another_signer_is_refused_by_name(statement: Statement) -> None:
    with pytest.raises(
        EvidenceRejected, match=f"north's Manifest: got a signature by {KEY.address}, want one by {OTHER.address}"
    ):
        signing.check(statement, Kind.MANIFEST, CONTEXT, OTHER.address)


@pytest.mark.parametrize("other", [kind for kind in STATEMENT_KINDS if kind is not Kind.MANIFEST])
def test_a_signature_of_one_kind_is_none_of_another(statement: Statement, other: Kind) -> None:
    with pytest.raises(EvidenceRejected, match=f"got a Manifest statement, want {other}"):
        signing.check(statement, other, CONTEXT, KEY.address)
    with pytest.raises(EvidenceRejected, match="got a signature by"):
        signing.check(replace(statement, kind=other), other, CONTEXT, KEY.address)


@pytest.mark.parametrize("context", OTHER_CONTEXTS.values(), ids=OTHER_CONTEXTS.keys())
@attack(
    by="hospital",
    to="change",
    tries="to say again what somebody said in another round, study or ledger",
    costs="nothing",
    seen="a signature that does not fit",
)
def test_a_statement_cannot_be_replayed_in_another_context(statement: Statement, context: Context) -> None:
    with pytest.raises(EvidenceRejected, match="got a signature by"):
        signing.check(statement, Kind.MANIFEST, context, KEY.address)


def test_a_changed_body_is_refused(statement: Statement) -> None:
    with pytest.raises(EvidenceRejected):
        signing.check(replace(statement, body=BODY | {"passed": False}), Kind.MANIFEST, CONTEXT, KEY.address)


@pytest.mark.parametrize("position", range(65))
def test_no_flipped_byte_of_a_signature_passes(statement: Statement, position: int) -> None:
    raw = bytearray.fromhex(statement.signature)
    raw[position] ^= 0x01
    with pytest.raises(EvidenceRejected):
        signing.check(replace(statement, signature=raw.hex()), Kind.MANIFEST, CONTEXT, KEY.address)


@pytest.mark.parametrize("signature", ["", "00", "zz" * 65, "00" * 65, "ff" * 65, "00" * 64])
def test_malformed_signatures_are_refused(statement: Statement, signature: str) -> None:
    with pytest.raises(EvidenceRejected):
        signing.check(replace(statement, signature=signature), Kind.MANIFEST, CONTEXT, KEY.address)


def test_a_vote_gives_back_the_result(vote: Statement) -> None:
    assert signing.check_vote(vote, CONTEXT.chain_id, CONTEXT.contract, KEY.address) == RESULT


@pytest.mark.parametrize("other", OTHER_RESULTS.values(), ids=OTHER_RESULTS.keys())
def test_a_vote_holds_for_no_other_result(vote: Statement, other: Result) -> None:
    body = {field.name: getattr(other, field.name) for field in fields(other)}
    with pytest.raises(EvidenceRejected, match="got a signature by"):
        signing.check_vote(replace(vote, body=body), CONTEXT.chain_id, CONTEXT.contract, KEY.address)


@pytest.mark.parametrize(("chain_id", "contract"), [(1, CONTEXT.contract), (CONTEXT.chain_id, OTHER.address)])
def test_a_vote_holds_on_no_other_ledger(vote: Statement, chain_id: int, contract: Address) -> None:
    with pytest.raises(EvidenceRejected):
        signing.check_vote(vote, chain_id, contract, KEY.address)


@pytest.mark.parametrize(
    "change",
    [
        {"verdicts": -1},
        {"verdicts": 1 << 256},
        {"verdicts": "11"},
        {"record": "55"},
        {"record": None},
        {"record": "5 5" + "55" * 31},
        {"record": "AA" * 32},
        {"round": "7"},
        {"extra": 1},
        {"verdicts": True},
    ],
)
def test_a_vote_over_something_that_is_no_result_is_refused(vote: Statement, change: dict[str, object]) -> None:
    with pytest.raises(EvidenceRejected):
        signing.check_vote(replace(vote, body={**vote.body, **change}), CONTEXT.chain_id, CONTEXT.contract, KEY.address)


def test_a_vote_lacking_a_field_is_refused(vote: Statement) -> None:
    body = {name: value for name, value in vote.body.items() if name != "record"}
    with pytest.raises(EvidenceRejected, match="no result"):
        signing.check_vote(replace(vote, body=body), CONTEXT.chain_id, CONTEXT.contract, KEY.address)


def test_a_statement_is_no_vote(statement: Statement) -> None:
    with pytest.raises(EvidenceRejected, match="want Vote"):
        signing.check_vote(statement, CONTEXT.chain_id, CONTEXT.contract, KEY.address)


def test_stored_bytes_parse_to_the_same_statement(statement: Statement) -> None:
    assert signing.from_bytes(signing.to_bytes(statement)) == statement


@pytest.mark.parametrize(
    "damage",
    [b"", b"{}", b"[]", b"null", b"not json", b'{"kind":"Gossip"}', b"\xff", b"[" * 10_000_000, b" " * 2_000_000],
)
def test_bytes_that_are_no_statement_are_refused(damage: bytes) -> None:
    with pytest.raises(EvidenceRejected, match="no signed statement"):
        signing.from_bytes(damage)


@pytest.mark.parametrize("spelled", [str.upper, lambda signature: f" {signature}", lambda signature: f"{signature}\n"])
def test_a_second_spelling_of_a_signature_is_refused(statement: Statement, spelled: Callable[[str], str]) -> None:
    other = replace(statement, signature=spelled(statement.signature))
    with pytest.raises(EvidenceRejected, match="got a malformed signature, want 65 bytes"):
        signing.check(other, Kind.MANIFEST, CONTEXT, KEY.address)


@attack(
    by="node",
    to="change",
    tries="to have one statement under two digests, by another spelling",
    costs="nothing",
    seen="the statement, refused",
)
def test_a_second_spelling_of_a_statement_is_refused(statement: Statement) -> None:
    with pytest.raises(EvidenceRejected, match="not canonical"):
        signing.from_bytes(signing.to_bytes(statement).replace(b",", b", ", 1))


def test_no_flipped_byte_of_a_stored_statement_passes(statement: Statement) -> None:
    stored = signing.to_bytes(statement)
    for position in range(len(stored)):
        damaged = stored[:position] + bytes([stored[position] ^ 0x01]) + stored[position + 1 :]
        with pytest.raises(EvidenceRejected):
            _accept(damaged)


def _accept(stored: bytes) -> None:
    parsed = signing.from_bytes(stored)
    signing.check(parsed, Kind.MANIFEST, CONTEXT, KEY.address)
    # The signer's name is looked up, not signed: whoever reads the statement finds no key under a damaged one.
    if parsed.signer != "north":
        raise EvidenceRejected("no such hospital")


def _abort(abort: Abort = ABORT) -> Statement:
    return signing.sign_abort("alpha", abort, CONTEXT.chain_id, CONTEXT.contract, KEY)


def test_an_abort_holds_for_its_signer_and_survives_the_store() -> None:
    stored = signing.from_bytes(signing.to_bytes(_abort()))
    assert signing.check_abort(stored, CONTEXT.chain_id, CONTEXT.contract, KEY.address) == ABORT
    assert set(OTHER_ABORTS) == {field.name for field in fields(Abort)}


@pytest.mark.parametrize("other", OTHER_ABORTS.values(), ids=OTHER_ABORTS)
def test_an_abort_with_anything_changed_is_another(other: Abort) -> None:
    moved = replace(_abort(other), signature=_abort().signature)
    with pytest.raises(EvidenceRejected, match="alpha's abort: got a signature by"):
        signing.check_abort(moved, CONTEXT.chain_id, CONTEXT.contract, KEY.address)


@pytest.mark.parametrize("chain", [(1, CONTEXT.contract), (CONTEXT.chain_id, OTHER.address)])
def test_an_abort_is_for_one_ledger(chain: tuple[int, Address]) -> None:
    with pytest.raises(EvidenceRejected, match="alpha's abort: got a signature by"):
        signing.check_abort(_abort(), *chain, KEY.address)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": "no_reason"},
        {"blamed": 5},
        {"blamed": ["0x12"]},
        {"round": "7"},
        {"round": -1},
        {"blamed": [KEY.address.lower()]},
        {"study_digest": "11"},
        {"more": 1},
    ],
)
def test_fields_that_are_no_abort_are_refused(body: dict[str, object]) -> None:
    made = replace(_abort(), body={**_abort().body, **body} if body else {})
    with pytest.raises(EvidenceRejected, match="alpha's abort: got"):
        signing.check_abort(made, CONTEXT.chain_id, CONTEXT.contract, KEY.address)


def test_a_vote_is_no_abort(vote: Statement) -> None:
    with pytest.raises(EvidenceRejected, match="got a Vote statement, want Abort"):
        signing.check_abort(vote, CONTEXT.chain_id, CONTEXT.contract, KEY.address)
