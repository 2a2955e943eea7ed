"""A chain in memory, at the place where `pipeline.chain.rpc` has its HTTP: a block for each transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from threading import RLock
from typing import Any

import pytest
import rlp
from eth_abi.abi import decode, encode
from eth_account import Account
from eth_utils.abi import (
    event_abi_to_log_topic,
    filter_abi_by_type,
    function_abi_to_4byte_selector,
    get_abi_input_types,
    get_abi_output_types,
)
from eth_utils.crypto import keccak
from web3 import Web3
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from pipeline.chain import rpc
from pipeline.chain.contract import abi, creation
from tests.support.memory.contract import Contract, Emitted, RevertError

CHAIN_ID = 31337


class _RPCError(Exception):
    """What the chain answers in place of a result."""

    def __init__(self, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.answer = {"code": 3 if data else -32000, "message": message} | ({"data": data} if data else {})


_FIELDS = ("nonce", "gasPrice", "gas", "to", "value", "input", "v", "r", "s")
"""Of a legacy transaction, in its order."""
_TEXTS = frozenset({"to", "input", "r", "s"})


@dataclass(frozen=True)
class _Mined:
    """A transaction and what became of it."""

    number: int
    hash: str
    sender: str
    to: str | None
    data: str
    time: int
    created: str | None
    logs: tuple[Mapping[str, Any], ...] | None
    """None where it reverted."""
    raw: bytes

    @property
    def emitted(self) -> list[Mapping[str, Any]]:
        """Its logs as the chain tells them."""
        return [
            {
                **log,
                "address": self.to,
                "blockNumber": hex(self.number),
                "blockHash": _block_hash(self.number),
                "blockTimestamp": hex(self.time),
                "transactionHash": self.hash,
                "transactionIndex": "0x0",
                "logIndex": hex(index),
                "removed": False,
            }
            for index, log in enumerate(self.logs or ())
        ]


@dataclass
class Chain:
    """One contract on one chain; `ahead` is how many seconds its clock is ahead of this machine's."""

    ahead: int = 0
    contract: Contract | None = None
    mined: list[_Mined] = field(default_factory=list)
    lock: RLock = field(default_factory=RLock)

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Whoever asks for a chain gets this one, as long as the context lasts."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rpc, "_client", lambda *_: Web3(ChainProvider(self)))
            yield

    @property
    def now(self) -> int:
        """The time that a transaction sent now would see."""
        return int(time.time()) + self.ahead

    def answer(self, method: str, parameters: Sequence[Any]) -> Any:
        """The result of one call of the JSON-RPC; raises _RPCError."""
        with self.lock:
            try:
                return getattr(self, method)(*parameters)
            except RevertError as error:
                raise _RPCError("execution reverted", _encoded(error)) from error

    # ------------------------------------------------------- Ethereum's JSON-RPC

    def eth_chainId(self) -> str:
        return hex(CHAIN_ID)

    def eth_blockNumber(self) -> str:
        return hex(len(self.mined))

    def eth_getBlockByNumber(self, block: str, _: bool) -> Mapping[str, Any] | None:
        number = len(self.mined) if block in ("latest", "pending") else int(block, 16)
        if number > len(self.mined):
            return None
        stamped = self.now if block == "pending" else self.mined[number - 1].time if number else 0
        return {"number": hex(number), "hash": _block_hash(number), "timestamp": hex(stamped)}

    def eth_getCode(self, address: str, _: str) -> str:
        here = self.contract is not None and address.lower() == self.contract.address
        return "0x01" if here else "0x"

    def eth_getTransactionCount(self, account: str, _: str = "latest") -> str:
        return hex(sum(mined.sender == account.lower() for mined in self.mined))

    def eth_call(self, call: Mapping[str, Any], _: str = "latest") -> str:
        return "0x" + self._run(call, lasting=False)[0].hex()

    def eth_estimateGas(self, call: Mapping[str, Any], _: str = "latest") -> str:
        if call.get("to"):
            self._run(call, lasting=False)
        return hex(100_000)

    def eth_sendRawTransaction(self, raw: str) -> str:
        data = bytes.fromhex(raw[2:])
        hashed = "0x" + keccak(data).hex()
        sender = Account.recover_transaction(raw).lower()
        nonce, _, _, to, _, sent, *_ = rlp.decode(data)
        expected = int(self.eth_getTransactionCount(sender), 16)
        if int.from_bytes(nonce) != expected:
            raise _RPCError("nonce too low" if int.from_bytes(nonce) < expected else "nonce too high")
        call = {"from": sender, "to": "0x" + to.hex() if to else None, "data": "0x" + sent.hex()}
        number = len(self.mined) + 1
        created = None
        emitted = None
        now = max(self.now, self.mined[-1].time if self.mined else 0)
        if not to:
            if sent != creation().data or self.contract is not None:
                raise _RPCError("got a creation of another contract, want the ledger, once")
            created = "0x" + keccak(rlp.encode([bytes.fromhex(sender[2:]), nonce]))[-20:].hex()
            self.contract = Contract(sender, CHAIN_ID, created, number)
            emitted = ()
        else:
            try:
                emitted = tuple(map(_log, self._run(call, lasting=True)[1]))
            except RevertError:
                emitted = None
        self.mined.append(_Mined(number, hashed, sender, call["to"], call["data"] or "", now, created, emitted, data))
        return hashed

    def eth_getTransactionByHash(self, hashed: str) -> Mapping[str, Any] | None:
        for mined in self.mined:
            if mined.hash == hashed:
                fields = dict(zip(_FIELDS, rlp.decode(mined.raw), strict=True))
                numbers = {name: hex(int.from_bytes(value)) for name, value in fields.items() if name not in _TEXTS}
                texts = {name: "0x" + fields[name].hex() for name in ("r", "s")}
                return {**numbers, **texts, "hash": hashed, "from": mined.sender, "to": mined.to, "input": mined.data}
        return None

    def eth_getTransactionReceipt(self, hashed: str) -> Mapping[str, Any] | None:
        for mined in self.mined:
            if mined.hash == hashed:
                return {
                    "transactionHash": hashed,
                    "blockNumber": hex(mined.number),
                    "blockHash": _block_hash(mined.number),
                    "from": mined.sender,
                    "to": mined.to,
                    "contractAddress": mined.created,
                    "gasUsed": hex(100_000),
                    "status": "0x1" if mined.logs is not None else "0x0",
                    "logs": mined.emitted,
                }
        return None

    def eth_getLogs(self, wanted: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        first = int(wanted["fromBlock"], 16)
        last = wanted["toBlock"]
        until = len(self.mined) if last == "latest" else int(last, 16)
        return [
            log
            for mined in self.mined[max(0, first - 1) : until]
            if any(_matches(log["topics"], wanted["topics"]) for log in mined.logs or ())
            for log in mined.emitted
            if _matches(log["topics"], wanted["topics"])
        ]

    # ---------------------------------------------------------------- the call

    def _run(self, call: Mapping[str, Any], *, lasting: bool) -> tuple[bytes, list[Emitted]]:
        """Call the contract: what it returns and emits; raises RevertError, and then nothing of it lasts."""
        assert self.contract is not None, "no contract"
        data = bytes.fromhex(call["data"][2:])
        entry = _functions()[data[:4]]
        view = entry["stateMutability"] in ("view", "pure")
        state = self.contract if view else deepcopy(self.contract)
        state.now = self.now
        state.block = len(self.mined) + 1
        state.sender = str(call.get("from", "")).lower()
        outcome = getattr(state, entry["name"])(*decode(get_abi_input_types(entry), data[4:]))
        if view:
            types = get_abi_output_types(entry)
            return encode(types, outcome if len(types) > 1 else [outcome]), []
        emitted = list(outcome)
        if lasting:
            self.contract = state
        return b"", emitted


class ChainProvider(JSONBaseProvider):
    """web3's way to a chain in memory."""

    def __init__(self, chain: Chain, **options: Any) -> None:
        super().__init__(**options)
        self._chain = chain

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer at once."""
        try:
            return {"jsonrpc": "2.0", "id": 1, "result": self._chain.answer(method, params)}
        except _RPCError as error:
            return {"jsonrpc": "2.0", "id": 1, "error": error.answer}  # type: ignore[typeddict-item]


@cache
def _functions() -> dict[bytes, Any]:
    return {function_abi_to_4byte_selector(entry): entry for entry in filter_abi_by_type("function", abi())}


@cache
def _events() -> dict[str, Any]:
    return {entry["name"]: entry for entry in filter_abi_by_type("event", abi())}


@cache
def _errors() -> dict[str, Any]:
    return {entry["name"]: entry for entry in filter_abi_by_type("error", abi())}


def _encoded(error: RevertError) -> str:
    entry = _errors()[error.error]
    return "0x" + (function_abi_to_4byte_selector(entry) + encode(get_abi_input_types(entry), error.arguments)).hex()


def _log(emitted: Emitted) -> Mapping[str, Any]:
    name, values = emitted
    entry = _events()[name]
    fields = list(zip(entry["inputs"], values, strict=True))
    topics = [event_abi_to_log_topic(entry)]
    topics += [encode([item["type"]], [value]) for item, value in fields if item["indexed"]]
    rest = [(item["type"], value) for item, value in fields if not item["indexed"]]
    data = encode([kind for kind, _ in rest], [value for _, value in rest])
    return {"topics": ["0x" + topic.hex() for topic in topics], "data": "0x" + data.hex()}


def _matches(topics: Sequence[str], wanted: Sequence[Any]) -> bool:
    if len(topics) < len(wanted):
        return False
    return all(
        want is None or topic in (want if isinstance(want, list | tuple) else [want])
        for topic, want in zip(topics, wanted, strict=False)
    )


@cache
def _block_hash(number: int) -> str:
    return "0x" + keccak(f"block {number}".encode()).hex()
