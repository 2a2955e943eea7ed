"""EIP-712 statements: one domain per ledger, one type per kind.

A statement's typed data is `Kind(uint64 round, bytes32 studyDigest, bytes32 previousModel, bytes32 content)` where
`content` is the SHA-256 of the body's canonical JSON. A vote is signed as the contract's own type `Result`, the end of
a round without a model as its type `Abort`, so that the ledger checks them. Source: EIP-712; `contracts/Ledger.sol`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache, lru_cache
from typing import Any

from coincurve import PublicKey
from eth_abi.exceptions import EncodingError
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from pipeline.domain import (
    Abort,
    Address,
    Change,
    Conclusion,
    Context,
    Decision,
    Ending,
    HospitalKey,
    Kind,
    NodeKey,
    NodeSet,
    Reason,
    Release,
    Result,
    RoundId,
    SiteFile,
    Statement,
    Vouch,
    sha256_text,
)
from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import canonical_json, digest, read_object
from pipeline.site.identity import SigningKey

_DOMAIN_NAME = "Wardround"
_DOMAIN_VERSION = "1"

LARGEST_STATEMENT = 1 << 20
"""Bytes of a signed statement."""

_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half the order of secp256k1: a canonical signature's s is not above it."""

_STATEMENT_FIELDS = (
    ("round", "uint64"),
    ("studyDigest", "bytes32"),
    ("previousModel", "bytes32"),
    ("content", "bytes32"),
)

_RESULT_FIELDS = (
    ("round", "uint64"),
    ("studyDigest", "bytes32"),
    ("commitRoot", "bytes32"),
    ("verdicts", "uint256"),
    ("previousModel", "bytes32"),
    ("newModel", "bytes32"),
    ("record", "bytes32"),
)

_ABORT_FIELDS = (
    ("round", "uint64"),
    ("studyDigest", "bytes32"),
    ("commitRoot", "bytes32"),
    ("previousModel", "bytes32"),
    ("reason", "bytes32"),
    ("blamed", "address[]"),
)


_CONCLUSION_FIELDS = (("round", "uint64"), ("reason", "bytes32"), ("evidence", "bytes32"))

Confirmed = Mapping[str, Mapping[str, str]]
"""Round, in decimal digits, to hospital to the digest of its confirmation."""


def sign(kind: Kind, signer: str, body: Mapping[str, Any], context: Context, key: SigningKey) -> Statement:
    """Sign `body` as `kind` in `context`; the signature is deterministic (RFC 6979)."""
    signature = key.sign(_statement_message(kind, body, context))
    return Statement(kind=kind, signer=signer, body=body, signature=signature)


def check(statement: Statement, kind: Kind, context: Context, address: Address) -> None:
    """Raise EvidenceRejected unless `address` signed `statement` as `kind` in `context`."""
    if statement.kind is not kind:
        raise EvidenceRejected(f"{statement.signer}: got a {statement.kind} statement, want {kind}")
    _check_signature(
        _statement_message(kind, statement.body, context), statement.signature, address, f"{statement.signer}'s {kind}"
    )


def sign_vote(signer: str, result: Result, chain_id: int, contract: Address, key: SigningKey) -> Statement:
    """Sign `result` as the contract's type `Result`; the statement's body is the result."""
    return Statement(Kind.VOTE, signer, _result_body(result), key.sign(_decision_message(result, chain_id, contract)))


def voter(result: Result, signature: str, chain_id: int, contract: Address) -> Address:
    """Whoever signed `result` for this ledger; raises EvidenceRejected when nobody can have."""
    try:
        return _recovered(_decision_message(result, chain_id, contract), signature)
    except ValueError as error:
        raise EvidenceRejected(
            f"got a malformed signature over the result of round {result.round} ({error}), want 65 bytes"
        ) from error


def check_vote(statement: Statement, chain_id: int, contract: Address, address: Address) -> Result:
    """The result that `address` voted for on this ledger; raises EvidenceRejected when it did not."""
    result = as_result(statement)
    _check_signature(
        _decision_message(result, chain_id, contract), statement.signature, address, f"{statement.signer}'s vote"
    )
    return result


def as_result(statement: Statement) -> Result:
    """What a vote says, whoever signed it; raises EvidenceRejected on anything but a vote."""
    if statement.kind is not Kind.VOTE:
        raise EvidenceRejected(f"{statement.signer}: got a {statement.kind} statement, want {Kind.VOTE}")
    try:
        result = _result(statement.body)
        decision_words(result)
    except (TypeError, ValueError, OverflowError, EvidenceRejected) as error:
        raise EvidenceRejected(
            f"{statement.signer}'s vote: got fields that are no result ({type(error).__name__})"
        ) from error
    return result


def sign_abort(signer: str, abort: Abort, chain_id: int, contract: Address, key: SigningKey) -> Statement:
    """Sign `abort` as the contract's type `Abort`; the statement's body is the abort."""
    body = asdict(abort) | {"blamed": list(abort.blamed)}
    return Statement(Kind.ABORT, signer, body, key.sign(_decision_message(abort, chain_id, contract)))


def check_abort(statement: Statement, chain_id: int, contract: Address, address: Address) -> Abort:
    """The abort that `address` signed for this ledger; raises EvidenceRejected when it did not."""
    if statement.kind is not Kind.ABORT:
        raise EvidenceRejected(f"{statement.signer}: got a {statement.kind} statement, want {Kind.ABORT}")
    try:
        abort = _abort(statement.body)
        message = _decision_message(abort, chain_id, contract)
    except (KeyError, TypeError, ValueError, OverflowError, EvidenceRejected) as error:
        raise EvidenceRejected(
            f"{statement.signer}'s abort: got fields that are no abort ({type(error).__name__})"
        ) from error
    _check_signature(message, statement.signature, address, f"{statement.signer}'s abort")
    return abort


def sign_conclusion(
    signer: str,
    round_id: RoundId,
    reason: Ending,
    confirmed: Confirmed,
    chain_id: int,
    contract: Address,
    key: SigningKey,
) -> Statement:
    """Sign a study's conclusion as the contract's type `Conclusion`; the body holds what decided it too."""
    conclusion = Conclusion(round_id, reason, digest(confirmed))
    body = asdict(conclusion) | {"confirmations": {number: dict(one) for number, one in confirmed.items()}}
    return Statement(Kind.CONCLUSION, signer, body, key.sign(_conclusion_message(conclusion, chain_id, contract)))


def check_conclusion(statement: Statement, chain_id: int, contract: Address, address: Address) -> Conclusion:
    """The conclusion that `address` signed for this ledger.

    Raises EvidenceRejected when it did not, or when what decided it has another digest.
    """
    if statement.kind is not Kind.CONCLUSION:
        raise EvidenceRejected(f"{statement.signer}: got a {statement.kind} statement, want {Kind.CONCLUSION}")
    try:
        confirmed = _confirmed(statement.body["confirmations"])
        if (
            set(statement.body) != {"round", "reason", "evidence", "confirmations"}
            or type(statement.body["round"]) is not int
        ):
            raise ValueError("other fields")
        conclusion = Conclusion(RoundId(statement.body["round"]), Ending(statement.body["reason"]), digest(confirmed))
        message = _conclusion_message(conclusion, chain_id, contract)
        same = conclusion.evidence == statement.body["evidence"]
    except (KeyError, TypeError, ValueError, OverflowError, EvidenceRejected) as error:
        raise EvidenceRejected(
            f"{statement.signer}'s conclusion: got fields that are no conclusion ({type(error).__name__})"
        ) from error
    if not same:
        raise EvidenceRejected(f"{statement.signer}'s conclusion: got confirmations with another digest than it names")
    _check_signature(message, statement.signature, address, f"{statement.signer}'s conclusion")
    return conclusion


def _confirmed(value: object) -> Confirmed:
    """Accept what a conclusion names; raises ValueError or EvidenceRejected on anything but digests by name."""
    if not (isinstance(value, dict) and all(isinstance(one, dict) for one in value.values())):
        raise ValueError("confirmations that are none")
    for one in value.values():
        for name, confirmation in one.items():
            sha256_text(confirmation, name)
    return value


def concluder(conclusion: Conclusion, signature: str, chain_id: int, contract: Address) -> Address:
    """Whoever signed `conclusion` for this ledger; raises EvidenceRejected when nobody can have."""
    try:
        return _recovered(_conclusion_message(conclusion, chain_id, contract), signature)
    except ValueError as error:
        raise EvidenceRejected(
            f"got a malformed signature over the conclusion of round {conclusion.round} ({error}), want 65 bytes"
        ) from error


def decision_words(decision: Decision) -> tuple[bytes, ...]:
    """What is hashed of a decision, 32 bytes each, its round first.

    Raises EvidenceRejected on a digest that is none.
    """
    match decision:
        case Result():
            before = (decision.study_digest, decision.commit_root)
            after = (decision.previous_model, decision.new_model, decision.record)
            rest = (*map(bytes.fromhex, before), decision.verdicts.to_bytes(32), *map(bytes.fromhex, after))
        case Abort():
            digests = map(bytes.fromhex, (decision.study_digest, decision.commit_root, decision.previous_model))
            blamed = (bytes.fromhex(account.removeprefix("0x")).rjust(32, b"\0") for account in decision.blamed)
            rest = (*digests, decision.reason.encode().ljust(32, b"\0"), keccak(b"".join(blamed)))
    words = (decision.round.to_bytes(8).rjust(32, b"\0"), *rest)
    if any(len(word) != 32 for word in words):
        raise EvidenceRejected(f"round {decision.round}: got a digest in a decision that is no SHA-256")
    return words


def sign_change(change: Change, chain_id: int, contract: Address, key: SigningKey) -> str:
    """Sign a change of a study as the contract's type of that name; 65 bytes in hexadecimal."""
    return key.sign(_change_message(change, chain_id, contract))


def changer(change: Change, signature: str, chain_id: int, contract: Address) -> Address:
    """Whoever signed `change` for this ledger; raises EvidenceRejected when nobody can have."""
    try:
        return _recovered(_change_message(change, chain_id, contract), signature)
    except (TypeError, ValueError, OverflowError, EncodingError) as error:
        raise EvidenceRejected(
            f"got no {type(change).__name__} with a signature of 65 bytes ({type(error).__name__}), want what its owner"
            " signed"
        ) from error


def sign_vouch(vouch: Vouch, chain_id: int, contract: Address, key: SigningKey) -> str:
    """Sign for a hospital's person, on this ledger; 65 bytes in hexadecimal."""
    return key.sign(_vouch_message(vouch, chain_id, contract))


def check_vouch(vouch: Vouch, signature: str, chain_id: int, contract: Address, address: Address) -> None:
    """Raise EvidenceRejected unless `address` vouched for this person on this ledger."""
    _check_signature(
        _vouch_message(vouch, chain_id, contract), signature, address, f"{vouch.hospital}'s word for {vouch.email}"
    )


def sign_site_file(kind: SiteFile, content: Mapping[str, Any], key: SigningKey) -> str:
    """Sign what one site hands to another, before or beside any ledger; 65 bytes in hexadecimal."""
    return key.sign(_site_file_message(kind, content))


def check_site_file(kind: SiteFile, content: Mapping[str, Any], signature: str, address: Address, what: str) -> None:
    """Raise EvidenceRejected, which names `what`, unless `address` signed this content as this kind of file."""
    _check_signature(_site_file_message(kind, content), signature, address, what)


def to_bytes(statement: Statement) -> bytes:
    """The canonical bytes of a statement, as stored; their SHA-256 is its digest."""
    return canonical_json(
        {
            "kind": statement.kind.value,
            "signer": statement.signer,
            "body": statement.body,
            "signature": statement.signature,
        }
    )


def from_bytes(data: bytes) -> Statement:
    """Parse stored bytes; raises EvidenceRejected on anything but the canonical form of a statement."""
    try:
        value = read_object(data, LARGEST_STATEMENT)
        statement = Statement(Kind(value["kind"]), value["signer"], value["body"], value["signature"])
        canonical = to_bytes(statement)
    except EvidenceRejected as error:
        raise EvidenceRejected(f"no signed statement: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceRejected(
            f"got {len(data)} bytes that are no signed statement ({type(error).__name__}), want canonical JSON"
        ) from error
    if canonical != data or not isinstance(statement.signer, str) or not isinstance(statement.body, dict):
        raise EvidenceRejected(f"got a statement of {len(data)} bytes that is not canonical, want sorted compact JSON")
    return statement


def _statement_message(kind: Kind, body: Mapping[str, Any], context: Context) -> SignableMessage:
    # By hand what `encode_typed_data` makes, in a tenth of its time: an audit of all rounds checks tens of thousands.
    words = (
        context.round.to_bytes(8).rjust(32, b"\0"),
        *map(bytes.fromhex, (context.study_digest, context.previous_model, digest(body))),
    )
    if any(len(word) != 32 for word in words):
        raise EvidenceRejected(f"round {context.round}: got a study digest or previous model that is no SHA-256")
    content = keccak(b"".join((_type(kind.value, _STATEMENT_FIELDS), *words)))
    return SignableMessage(b"\x01", _domain_separator(context.chain_id, context.contract), content)


@cache
def _type(name: str, fields: tuple[tuple[str, str], ...]) -> bytes:
    return keccak(f"{name}({','.join(f'{kind} {field}' for field, kind in fields)})".encode())


@cache
def _domain_separator(chain_id: int, contract: Address) -> bytes:
    return _typed("Empty", [{"name": "round", "type": "uint64"}], {"round": 0}, chain_id, contract).header


def _result(body: Mapping[str, Any]) -> Result:
    """The result with exactly these fields; the signature's encoding would take other spellings of the same values."""
    result = Result(**body)
    for name in ("study_digest", "commit_root", "previous_model", "new_model", "record"):
        sha256_text(body[name], name)
    if type(result.round) is not int or type(result.verdicts) is not int:
        raise TypeError("round and verdicts are integers")
    return result


def _result_body(result: Result) -> dict[str, Any]:
    return asdict(result)


def _decision_message(decision: Decision, chain_id: int, contract: Address) -> SignableMessage:
    fields = _ABORT_FIELDS if isinstance(decision, Abort) else _RESULT_FIELDS
    content = keccak(b"".join((_type(type(decision).__name__, fields), *decision_words(decision))))
    return SignableMessage(b"\x01", _domain_separator(chain_id, contract), content)


def _conclusion_message(conclusion: Conclusion, chain_id: int, contract: Address) -> SignableMessage:
    words = (
        conclusion.round.to_bytes(8).rjust(32, b"\0"),
        conclusion.reason.encode().ljust(32, b"\0"),
        bytes.fromhex(conclusion.evidence),
    )
    content = keccak(b"".join((_type("Conclusion", _CONCLUSION_FIELDS), *words)))
    return SignableMessage(b"\x01", _domain_separator(chain_id, contract), content)


def _abort(body: Mapping[str, Any]) -> Abort:
    """The abort with exactly these fields, in this spelling."""
    abort = Abort(**{**body, "reason": Reason(body["reason"]), "blamed": tuple(body["blamed"])})
    for name in ("study_digest", "commit_root", "previous_model"):
        sha256_text(body[name], name)
    if type(abort.round) is not int:
        raise TypeError("a round is an integer")
    if [str(to_checksum_address(account)) for account in abort.blamed] != list(abort.blamed):
        raise ValueError("an account has another spelling")
    return abort


def _change_message(change: Change, chain_id: int, contract: Address) -> SignableMessage:
    match change:
        case NodeSet(study, number, nodes):
            content: dict[str, Any] = {"nodes": list(nodes)}
        case NodeKey(study, number, previous, successor):
            content = {"previous": previous, "next": successor}
        case Release(study, number, hospital):
            content = {"hospital": hospital}
        case HospitalKey(previous, successor):
            fields = [{"name": name, "type": "address"} for name in ("previous", "next")]
            return _typed("HospitalKey", fields, {"previous": previous, "next": successor}, chain_id, contract)
    fields = [{"name": "studyId", "type": "bytes32"}, {"name": "change", "type": "uint32"}]
    fields += [{"name": name, "type": "address[]" if name == "nodes" else "address"} for name in content]
    return _typed(
        type(change).__name__,
        fields,
        {"studyId": bytes.fromhex(study), "change": number, **content},
        chain_id,
        contract,
    )


def _vouch_message(vouch: Vouch, chain_id: int, contract: Address) -> SignableMessage:
    fields = [{"name": name, "type": "string"} for name in ("hospital", "email")]
    return _typed("Vouch", fields, {"hospital": vouch.hospital, "email": vouch.email}, chain_id, contract)


def _site_file_message(kind: SiteFile, content: Mapping[str, Any]) -> SignableMessage:
    # No chain and no contract: what is signed for a ledger is nothing here, and this is nothing there.
    return encode_typed_data(
        domain_data={"name": _DOMAIN_NAME, "version": _DOMAIN_VERSION},
        message_types={kind.value: [{"name": "content", "type": "bytes32"}]},
        message_data={"content": bytes.fromhex(digest(content))},
    )


def _typed(
    name: str, fields: list[dict[str, str]], content: dict[str, Any], chain_id: int, contract: Address
) -> SignableMessage:
    domain = {"name": _DOMAIN_NAME, "version": _DOMAIN_VERSION, "chainId": chain_id, "verifyingContract": contract}
    return encode_typed_data(domain_data=domain, message_types={name: fields}, message_data=content)


def _check_signature(message: SignableMessage, signature: str, address: Address, what: str) -> None:
    try:
        signer = _recovered(message, signature)
    except ValueError as error:
        raise EvidenceRejected(f"{what}: got a malformed signature, want 65 bytes by {address}") from error
    if signer != address:
        raise EvidenceRejected(f"{what}: got a signature by {signer}, want one by {address}")


def _recovered(message: SignableMessage, signature: str) -> Address:
    """The signer's address; raises ValueError on a malformed signature."""
    try:
        raw = bytes.fromhex(signature)
        # A signature has one form that the contract takes: another spelling of it must not pass here and fail there.
        # And one in hexadecimal: by a second, anybody could give a statement a second digest.
        low = int.from_bytes(raw[32:64], "big") <= _HALF_ORDER
        if raw.hex() != signature or len(raw) != 65 or raw[64] not in (27, 28) or not low:
            raise ValueError("not canonical")
        # By hand what `Account.recover_message` does, in half its time.
        hashed = keccak(b"\x19" + message.version + message.header + message.body)
        public = PublicKey.from_signature_and_message(raw[:64] + bytes([raw[64] - 27]), hashed, hasher=None)
    except Exception as error:  # coincurve raises many types on malformed bytes; all mean the same here
        raise ValueError(type(error).__name__) from error
    return _checksum(keccak(public.format(compressed=False)[1:])[-20:])


@lru_cache(maxsize=1024)
def _checksum(address: bytes) -> Address:
    return Address(to_checksum_address(address))
