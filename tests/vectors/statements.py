"""Signed statements: every kind in its typed data, votes, aborts and conclusions as the contract's own types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from pipeline.domain import Abort, Address, Ending, Kind, Reason, Result, RoundId, Statement
from pipeline.evidence import signing
from pipeline.evidence.canonical import digest
from tests.vectors import actors
from tests.vectors.files import Given

ABOUT = (
    "given.private_key signs given.body as given.kind in given.context; want.typed is the typed data by EIP-712,"
    " want.hash what is signed of it, want.stored the statement's canonical bytes as text (RFC 6979 makes the signature"
    " the same everywhere), want.sha256 their digest. Bad ones give stored bytes, and the kind, context and account"
    " that a reader asks of them"
)

_BODIES: dict[Kind, dict[str, Any]] = {
    Kind.SEALING_KEY: {"public_key": "aa" * 32, "nonce": "bb" * 32},
    Kind.VALIDATION: {"rows": "50-99", "expectations": {"10 samples of each class": True}, "passed": True},
    Kind.MANIFEST: {"hospital": "northgate", "length": 3, "components": ["01" * 32, "02" * 32, "03" * 32]},
    Kind.INVENTORY: {"held": {"northgate": [0, 1]}, "absent": {"hillside": "no_manifest"}},
    Kind.INPUT_SET: {"inputs": {"northgate": "35" * 32}, "absent": {"hillside": "no_manifest"}},
    Kind.NONCE: {"nonce": "cc" * 32},
    Kind.COMPONENT_SUMS: {"sums": {"0": "dd" * 32}},
    Kind.CAUSE: {"cause": "engine_failed"},
    Kind.CONFIRMATION: {"model": "44" * 32, "correct": 20, "tested": 34},
    Kind.CONSENT: {"hospital": "northgate", "text": "Zürich 😀"},
    Kind.WITHDRAWAL: {"hospital": "northgate"},
}
_RESULT: dict[str, Any] = {
    "round": 7,
    "study_digest": "11" * 32,
    "commit_root": "33" * 32,
    "verdicts": 0b1011,
    "previous_model": "22" * 32,
    "new_model": "44" * 32,
    "record": "55" * 32,
}
_ABORT: dict[str, Any] = {
    "round": 7,
    "study_digest": "11" * 32,
    "commit_root": "33" * 32,
    "previous_model": "22" * 32,
    "reason": "too_few_accepted",
    "blamed": [actors.key(actors.OTHER_PRIVATE_KEY).address],
}
_CONFIRMED = {"6": {"northgate": "66" * 32}, "7": {"hillside": "77" * 32, "northgate": "88" * 32}}
_CONCLUSION: dict[str, Any] = {
    "round": 7,
    "reason": "nothing_gained",
    "evidence": digest(_CONFIRMED),
    "confirmations": _CONFIRMED,
}
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_FIELDS: dict[Kind, dict[str, str]] = {
    Kind.VOTE: {
        "round": "uint64",
        "studyDigest": "bytes32",
        "commitRoot": "bytes32",
        "verdicts": "uint256",
        "previousModel": "bytes32",
        "newModel": "bytes32",
        "record": "bytes32",
    },
    Kind.ABORT: {
        "round": "uint64",
        "studyDigest": "bytes32",
        "commitRoot": "bytes32",
        "previousModel": "bytes32",
        "reason": "bytes32",
        "blamed": "address[]",
    },
    Kind.CONCLUSION: {"round": "uint64", "reason": "bytes32", "evidence": "bytes32"},
}
_STATEMENT = {"round": "uint64", "studyDigest": "bytes32", "previousModel": "bytes32", "content": "bytes32"}
_TYPES = {Kind.VOTE: "Result", Kind.ABORT: "Abort", Kind.CONCLUSION: "Conclusion"}

_SPELLING = "not canonical"
_MALFORMED = "got a malformed signature"
_SIGNED = "got a signature by"
REFUSED = {
    "bad_other_spelling_of_the_signature": _MALFORMED,
    "bad_upper_case_signature": _MALFORMED,
    "bad_recovery_id_0_or_1": _MALFORMED,
    "bad_signature_too_short": _MALFORMED,
    "bad_signature_of_zeros": _MALFORMED,
    "bad_wrong_signer": _SIGNED,
    "bad_said_in_another_round": _SIGNED,
    "bad_said_on_another_chain": _SIGNED,
    "bad_said_to_another_contract": _SIGNED,
    "bad_said_in_another_study": _SIGNED,
    "bad_said_of_another_model": _SIGNED,
    "bad_changed_body": _SIGNED,
    "bad_of_another_kind": "got a Manifest statement, want InputSet",
    "bad_renamed_kind": _SIGNED,
    "bad_unknown_kind": "no signed statement",
    "bad_key_twice": _SPELLING,
    "bad_spaces": _SPELLING,
    "bad_escapes": _SPELLING,
    "bad_keys_unsorted": _SPELLING,
    "bad_another_field": _SPELLING,
    "bad_float_in_the_body": "no signed statement",
    "bad_body_is_a_list": _SPELLING,
    "bad_deep_nesting": "no signed statement",
    "bad_vote_for_another_result": _SIGNED,
    "bad_vote_with_text_for_a_number": "no result",
    "bad_vote_with_an_upper_case_digest": "no result",
    "bad_vote_with_another_field": "no result",
    "bad_vote_that_is_an_abort": "got a Abort statement, want Vote",
    "bad_abort_of_unknown_reason": "no abort",
    "bad_abort_with_an_account_in_lower_case": "no abort",
    "bad_conclusion_of_unknown_reason": "no conclusion",
    "bad_conclusion_with_another_field": "no conclusion",
    "bad_conclusion_by_other_confirmations": "with another digest",
    "bad_conclusion_by_what_are_no_digests": "no conclusion",
    "bad_conclusion_for_another_reason": _SIGNED,
}


def given(kept: Mapping[str, Given]) -> dict[str, Given]:
    bodies = {**_BODIES, Kind.VOTE: _RESULT, Kind.ABORT: _ABORT, Kind.CONCLUSION: _CONCLUSION}
    good = {_name(kind): _signing(kind, bodies[kind]) for kind in Kind}
    good["largest_vote"] = _signing(Kind.VOTE, _RESULT | {"round": 2**64 - 1, "verdicts": 2**256 - 1})
    good["abort_that_blames_nobody"] = _signing(Kind.ABORT, _ABORT | {"blamed": [], "reason": "engine_failed"})
    return good | _bad()


def answer(given: Given) -> dict[str, Any]:
    kind = Kind(given["kind"])
    if "stored" in given:
        _check(signing.from_bytes(given["stored"].encode()), kind, given["context"], Address(given["address"]))
        return {"holds": True}
    statement = _signed(given)
    stored = signing.to_bytes(statement)
    _check(signing.from_bytes(stored), kind, given["context"], actors.key(given["private_key"]).address)
    typed = _typed(kind, given["body"], given["context"])
    message = encode_typed_data(full_message=typed)
    return {
        "typed": typed,
        "hash": keccak(b"\x19" + message.version + message.header + message.body).hex(),
        "address": actors.key(given["private_key"]).address,
        "stored": stored.decode(),
        "sha256": digest(json.loads(stored)),
    }


def _name(kind: Kind) -> str:
    return kind.name.lower()


def _signing(kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "private_key": actors.PRIVATE_KEY,
        "kind": kind.value,
        "signer": "northgate",
        "body": dict(body),
        "context": actors.CONTEXT,
    }


def _signed(given: Given) -> Statement:
    kind = Kind(given["kind"])
    body = given["body"]
    context = actors.context(given["context"])
    key = actors.key(given["private_key"])
    signer = given["signer"]
    match kind:
        case Kind.VOTE:
            return signing.sign_vote(signer, Result(**body), context.chain_id, context.contract, key)
        case Kind.ABORT:
            abort = Abort(**{**body, "reason": Reason(body["reason"]), "blamed": tuple(body["blamed"])})
            return signing.sign_abort(signer, abort, context.chain_id, context.contract, key)
        case Kind.CONCLUSION:
            said = (RoundId(body["round"]), Ending(body["reason"]), body["confirmations"])
            return signing.sign_conclusion(signer, *said, context.chain_id, context.contract, key)
    return signing.sign(kind, signer, body, context, key)


def _check(statement: Statement, kind: Kind, context: Mapping[str, Any], address: Address) -> None:
    where = actors.context(context)
    match kind:
        case Kind.VOTE:
            signing.check_vote(statement, where.chain_id, where.contract, address)
        case Kind.ABORT:
            signing.check_abort(statement, where.chain_id, where.contract, address)
        case Kind.CONCLUSION:
            signing.check_conclusion(statement, where.chain_id, where.contract, address)
        case _:
            signing.check(statement, kind, where, address)


def _typed(kind: Kind, body: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """The typed data as any library of EIP-712 takes it: bytes in hexadecimal with 0x."""
    name = _TYPES.get(kind, kind.value)
    fields = _FIELDS.get(kind, _STATEMENT)
    values = dict(body) if kind in _TYPES else {**context, "content": digest(body)}
    camel = {_camel(field): value for field, value in values.items()}
    if kind in (Kind.ABORT, Kind.CONCLUSION):
        camel["reason"] = body["reason"].encode().ljust(32, b"\0").hex()
    domain = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
    return {
        "types": {
            "EIP712Domain": [{"name": field, "type": form} for field, form in domain.items()],
            name: [{"name": field, "type": form} for field, form in fields.items()],
        },
        "primaryType": name,
        "domain": {
            "name": "Wardround",
            "version": "1",
            "chainId": context["chain_id"],
            "verifyingContract": context["contract"],
        },
        "message": {
            field: f"0x{camel[field]}" if form == "bytes32" else camel[field] for field, form in fields.items()
        },
    }


def _camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _bad() -> dict[str, Given]:
    statement = _signed(_signing(Kind.MANIFEST, _BODIES[Kind.MANIFEST]))
    vote = _signed(_signing(Kind.VOTE, _RESULT))
    abort = _signed(_signing(Kind.ABORT, _ABORT))
    conclusion = _signed(_signing(Kind.CONCLUSION, _CONCLUSION))
    text = signing.to_bytes(statement).decode()
    raw = bytes.fromhex(statement.signature)
    turned = raw[:32] + (_ORDER - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big") + bytes([55 - raw[64]])

    def signature(of: str) -> Given:
        return _asked(text.replace(statement.signature, of))

    def in_context(**change: Any) -> Given:
        return _asked(text) | {"context": actors.CONTEXT | change}

    def body(of: Statement, **change: Any) -> str:
        fields = {"kind": of.kind.value, "signature": of.signature, "signer": of.signer}
        return _compact({"body": dict(sorted({**of.body, **change}.items()))} | fields)

    other = actors.key(actors.OTHER_PRIVATE_KEY).address
    return {
        "bad_other_spelling_of_the_signature": signature(turned.hex()),
        "bad_upper_case_signature": signature(statement.signature.upper()),
        "bad_recovery_id_0_or_1": signature((raw[:64] + bytes([raw[64] - 27])).hex()),
        "bad_signature_too_short": signature(raw[:64].hex()),
        "bad_signature_of_zeros": signature("00" * 65),
        "bad_wrong_signer": _asked(text) | {"address": other},
        "bad_said_in_another_round": in_context(round=8),
        "bad_said_on_another_chain": in_context(chain_id=1),
        "bad_said_to_another_contract": in_context(contract=other),
        "bad_said_in_another_study": in_context(study_digest="12" * 32),
        "bad_said_of_another_model": in_context(previous_model="23" * 32),
        "bad_changed_body": _asked(body(statement, length=4)),
        "bad_of_another_kind": _asked(text, Kind.INPUT_SET),
        "bad_renamed_kind": _asked(text.replace('"Manifest"', '"InputSet"'), Kind.INPUT_SET),
        "bad_unknown_kind": _asked(text.replace('"Manifest"', '"Gossip"')),
        "bad_key_twice": _asked(text.replace('"kind":', '"kind":"InputSet","kind":')),
        "bad_spaces": _asked(text.replace(",", ", ", 1)),
        "bad_escapes": _asked(text.replace("northgate", "\\u006eorthgate")),
        "bad_keys_unsorted": _asked(_compact(dict(reversed(json.loads(text).items())))),
        "bad_another_field": _asked(text.replace('{"body"', '{"aside":1,"body"')),
        "bad_float_in_the_body": _asked(body(statement, length=3.0)),
        "bad_body_is_a_list": _asked(_compact(json.loads(text) | {"body": []})),
        "bad_deep_nesting": _asked(body(statement, length=None).replace("null", "[" * 201 + "]" * 201)),
        "bad_vote_for_another_result": _asked(body(vote, verdicts=15), Kind.VOTE),
        "bad_vote_with_text_for_a_number": _asked(body(vote, verdicts="11"), Kind.VOTE),
        "bad_vote_with_an_upper_case_digest": _asked(body(vote, record="AA" * 32), Kind.VOTE),
        "bad_vote_with_another_field": _asked(body(vote, more=1), Kind.VOTE),
        "bad_vote_that_is_an_abort": _asked(body(abort), Kind.VOTE),
        "bad_abort_of_unknown_reason": _asked(body(abort, reason="no_reason"), Kind.ABORT),
        "bad_abort_with_an_account_in_lower_case": _asked(body(abort, blamed=[other.lower()]), Kind.ABORT),
        "bad_conclusion_of_unknown_reason": _asked(body(conclusion, reason="bored"), Kind.CONCLUSION),
        "bad_conclusion_with_another_field": _asked(body(conclusion, more=1), Kind.CONCLUSION),
        "bad_conclusion_by_other_confirmations": _asked(body(conclusion, confirmations={}), Kind.CONCLUSION),
        "bad_conclusion_by_what_are_no_digests": _asked(
            body(conclusion, confirmations={"7": ["aster"]}), Kind.CONCLUSION
        ),
        "bad_conclusion_for_another_reason": _asked(body(conclusion, reason="most_rounds"), Kind.CONCLUSION),
    }


def _compact(value: Mapping[str, Any]) -> str:
    """Without white space, in the order given: what canonical JSON refuses can be written too."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _asked(stored: str, kind: Kind = Kind.MANIFEST) -> dict[str, Any]:
    address = actors.key(actors.PRIVATE_KEY).address
    return {"stored": stored, "kind": kind.value, "context": actors.CONTEXT, "address": address}
