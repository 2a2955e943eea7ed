"""The contract's committed ABI and bytecode: calls are encoded, answers, events and reverts decoded by it.

web3's own contract objects go through the whole ABI anew for every ledger and every call, for milliseconds each; a
step of a round makes dozens.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.exceptions import DecodingError, EncodingError
from eth_typing import ABI
from eth_utils.abi import (
    abi_to_signature,
    event_abi_to_log_topic,
    filter_abi_by_type,
    function_abi_to_4byte_selector,
    get_abi_input_types,
    get_abi_output_types,
)
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import BadFunctionCallOutput, LogTopicError, MismatchedABI

from pipeline.domain import Address
from pipeline.errors import ContractRefused, Misconfigured
from pipeline.site.settings import PROJECT

ARTEFACT = PROJECT / "contracts" / "abi" / "Ledger.json"
"""ABI, creation bytecode and compiler settings of `contracts/Ledger.sol`."""

_CODEC = Web3().codec


@dataclass(frozen=True)
class Call:
    """An unsent transaction: `data` to the contract at `to`, or creation code when `to` is None."""

    name: str
    to: Address | None
    data: bytes


@cache
def artefact() -> Mapping[str, Any]:
    """The committed build; raises Misconfigured when it is missing or damaged."""
    try:
        content: Mapping[str, Any] = json.loads(ARTEFACT.read_bytes())
    except (OSError, ValueError) as error:
        raise Misconfigured(
            f"{ARTEFACT.name}: got {type(error).__name__}, want the committed build; run `npm ci && npm run compile`"
        ) from error
    return content


def abi() -> ABI:
    """The contract's ABI."""
    entries: ABI = artefact()["abi"]
    return entries


@cache
def interface() -> type[Contract]:
    """web3's reader of calls that somebody else made."""
    return Web3().eth.contract(abi=abi())


@dataclass(frozen=True)
class _Function:
    selector: bytes
    inputs: Sequence[str]
    outputs: Sequence[str]


@cache
def _functions() -> Mapping[str, _Function]:
    """By signature, and by name where no two have it."""
    entries = filter_abi_by_type("function", abi())
    times = Counter(entry["name"] for entry in entries)
    functions: dict[str, _Function] = {}
    for entry in entries:
        function = _Function(
            function_abi_to_4byte_selector(entry), get_abi_input_types(entry), get_abi_output_types(entry)
        )
        functions[abi_to_signature(entry)] = function
        if times[entry["name"]] == 1:
            functions[entry["name"]] = function
    return functions


def question(function: str, *arguments: Any) -> bytes:
    """The data of a call of `function`; raises web3's MismatchedABI when an argument does not fit its type."""
    called = _functions()[function]
    if len(arguments) != len(called.inputs):
        raise MismatchedABI(f"got {len(arguments)} arguments, want {len(called.inputs)}")
    try:
        return called.selector + _CODEC.encode(called.inputs, arguments)
    except (EncodingError, TypeError, ValueError, OverflowError) as error:
        raise MismatchedABI(str(error)) from error


def answer(function: str, data: bytes) -> Any:
    """What a call of `function` returned, a list where that is several values.

    Raises web3's BadFunctionCallOutput for what no such function returns.
    """
    outputs = _functions()[function].outputs
    try:
        values = _decoded(outputs, data)
    except DecodingError as error:
        raise BadFunctionCallOutput(str(error)) from error
    return values[0] if len(values) == 1 else values


def encode(to: Address, function: str, *arguments: Any) -> Call:
    """Encode a call of `function`; raises Misconfigured when an argument does not fit its type."""
    try:
        data = question(function, *arguments)
    except MismatchedABI as error:
        raise Misconfigured(f"{function}: got arguments that the contract does not take ({error})") from error
    return Call(function.partition("(")[0], to, data)


def creation() -> Call:
    """The transaction that deploys the contract; its sender becomes the service provider."""
    return Call("deploy", None, bytes.fromhex(artefact()["bytecode"].removeprefix("0x")))


@dataclass(frozen=True)
class _Event:
    name: str
    indexed: Mapping[str, str]
    """Field to type."""
    others: Mapping[str, str]


@cache
def _events() -> Mapping[bytes, _Event]:
    events = {}
    for entry in filter_abi_by_type("event", abi()):
        fields = {
            which: {one["name"]: one["type"] for one in entry["inputs"] if one["indexed"] is which}
            for which in (True, False)
        }
        events[event_abi_to_log_topic(entry)] = _Event(entry["name"], fields[True], fields[False])
    return events


@cache
def topic(event: str) -> bytes:
    """First topic of `event`'s logs."""
    (event_topic,) = (topic for topic, entry in _events().items() if entry.name == event)
    return event_topic


def event_name(first_topic: bytes) -> str:
    """The event whose logs carry `first_topic`; raises Misconfigured for one that the ABI lacks."""
    return _event(first_topic).name


def event_fields(topics: Sequence[bytes], data: bytes) -> Mapping[str, Any]:
    """The fields of a log.

    Raises Misconfigured for an event that the ABI lacks, web3's LogTopicError for a log that is none of its event.
    """
    event = _event(topics[0])
    if len(topics) != len(event.indexed) + 1:
        raise LogTopicError(f"{event.name}: got {len(topics)} topics, want {len(event.indexed) + 1}")
    try:
        indexed = _decoded(list(event.indexed.values()), b"".join(topics[1:]))
        others = _decoded(list(event.others.values()), data)
    except DecodingError as error:
        raise LogTopicError(f"{event.name}: {error}") from error
    return dict(zip([*event.indexed, *event.others], [*indexed, *others], strict=True))


def _event(first_topic: bytes) -> _Event:
    event = _events().get(first_topic)
    if event is None:
        raise Misconfigured(
            f"got an event {first_topic.hex()} that this version's ABI lacks; is the contract of another version?"
        )
    return event


def _decoded(types: Sequence[str], data: bytes) -> list[Any]:
    """Values, of which addresses are in the form of EIP-55."""
    return [_checksummed(kind, value) for kind, value in zip(types, _CODEC.decode(types, data), strict=True)]


def _checksummed(kind: str, value: Any) -> Any:
    if kind == "address":
        return Web3.to_checksum_address(value)
    return [Web3.to_checksum_address(one) for one in value] if kind == "address[]" else value


def refusal(call: str, data: str | None) -> ContractRefused:
    """The error that revert `data` (hexadecimal, 0x) stands for, by the ABI."""
    if not isinstance(data, str) or len(data) < 10:
        return ContractRefused(call, "Reverted", {})
    entry = _errors().get(data[2:10])
    if entry is None:
        return ContractRefused(call, "Reverted", {"data": data})
    inputs = entry.get("inputs", [])
    try:
        values = _CODEC.decode([item["type"] for item in inputs], bytes.fromhex(data[10:]))
    except (DecodingError, ValueError):
        return ContractRefused(call, entry["name"], {"data": data})
    return ContractRefused(
        call, entry["name"], {item["name"]: _text(value, item) for item, value in zip(inputs, values, strict=True)}
    )


@cache
def _errors() -> Mapping[str, Any]:
    return {function_abi_to_4byte_selector(entry).hex(): entry for entry in filter_abi_by_type("error", abi())}


_STATUS_NAMES: Mapping[str, tuple[str, ...]] = {
    "enum ILedger.RoundStatus": ("NONE", "OPEN", "COMMITTED", "FINALISED", "ABORTED"),
    "enum ILedger.HospitalStatus": ("UNKNOWN", "REGISTERED", "AUTHORISED", "REVOKED", "RETIRED"),
}


def _text(value: Any, item: Mapping[str, Any]) -> str:
    names: tuple[str, ...] | None = _STATUS_NAMES.get(item.get("internalType", ""))
    if names is not None:
        return names[int(value)]
    if item["type"] == "address":
        return str(Web3.to_checksum_address(value))
    return value.hex() if isinstance(value, bytes) else str(value)
