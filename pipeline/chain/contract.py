"""The contract's committed ABI and bytecode: calls are encoded and reverts decoded by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.exceptions import DecodingError, EncodingError
from eth_typing import ABI
from eth_utils.abi import event_abi_to_log_topic, filter_abi_by_type, function_abi_to_4byte_selector
from web3 import Web3
from web3.exceptions import Web3Exception

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


def encode(to: Address, function: str, *arguments: Any) -> Call:
    """Encode a call of `function`; raises Misconfigured when an argument does not fit its type."""
    try:
        data = Web3().eth.contract(abi=abi()).encode_abi(function, list(arguments))
    except (Web3Exception, EncodingError, TypeError, ValueError, OverflowError) as error:
        raise Misconfigured(f"{function}: got arguments that the contract does not take ({error})") from error
    return Call(function.partition("(")[0], to, bytes.fromhex(data.removeprefix("0x")))


def creation() -> Call:
    """The transaction that deploys the contract; its sender becomes the service provider."""
    return Call("deploy", None, bytes.fromhex(artefact()["bytecode"].removeprefix("0x")))


def topic(event: str) -> bytes:
    """First topic of `event`'s logs."""
    (event_topic,) = (topic for topic, name in _events().items() if name == event)
    return event_topic


@cache
def _events() -> Mapping[bytes, str]:
    return {event_abi_to_log_topic(entry): entry["name"] for entry in filter_abi_by_type("event", abi())}


def event_name(first_topic: bytes) -> str:
    """The event whose logs carry `first_topic`; raises Misconfigured for one that the ABI lacks."""
    name = _events().get(first_topic)
    if name is None:
        raise Misconfigured(
            f"got an event {first_topic.hex()} that this version's ABI lacks; is the contract of another version?"
        )
    return name


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
