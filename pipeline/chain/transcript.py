"""A round's transactions with their receipts, taken from a chain and read again without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Self, TypeVar

import rlp
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from rlp.exceptions import RLPException
from web3 import Web3
from web3.exceptions import Web3Exception

from pipeline.chain import contract, rpc
from pipeline.chain.encoding import checksum, expanded
from pipeline.domain import Address, Conclusion, Ending, Result, RoundId, Sha256
from pipeline.errors import EvidenceRejected
from pipeline.evidence import signing
from pipeline.host.documents import first_problem
from pipeline.ledger_types import events
from pipeline.ledger_types.events import ConcludedEvent, Event, FinalisedEvent, TxLocation
from pipeline.ledger_types.state import HospitalStatus, Members, RoundState, assemble

_LEGACY_FIELDS = 9

_Signed = TypeVar("_Signed", Result, Conclusion)

_Natural = Annotated[int, Field(ge=0, lt=1 << 64)]
_Hex = Annotated[str, StringConstraints(pattern=r"^(?:[0-9a-f]{2})*$")]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Log(_Form):
    topics: list[_Hex]
    data: _Hex


class _Sent(_Form):
    raw: _Hex
    block: _Natural
    block_hash: str
    time: _Natural
    gas_used: _Natural
    logs: list[_Log]


class _Content(_Form):
    chain_id: _Natural
    contract: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
    development: bool
    round: _Natural
    transactions: list[_Sent]


def export(web3: Web3, chain_id: int, address: Address, state: RoundState, development: bool) -> dict[str, Any]:
    """The round's transactions in order, as JSON.

    Raises EvidenceRejected when the chain's own answers do not fit together.
    """
    round_events = (state.opened, *state.direct, state.committed, state.finalised, state.concluded)
    hashes = list(dict.fromkeys(event.location.transaction for event in round_events if event is not None))
    return {
        "chain_id": chain_id,
        "contract": address,
        "development": development,
        "round": state.round,
        "transactions": [_exported(web3, transaction) for transaction in hashes],
    }


def _exported(web3: Web3, transaction: str) -> dict[str, Any]:
    with rpc.border(f"transaction {transaction}"):
        sent: Any = web3.eth.get_transaction(HexBytes(transaction))
        receipt: Any = web3.eth.get_transaction_receipt(HexBytes(transaction))
        time = int(web3.eth.get_block(receipt["blockNumber"])["timestamp"])
    to = b"" if sent.get("to") is None else bytes.fromhex(sent["to"][2:])
    numbers = (sent["v"], int.from_bytes(sent["r"], "big"), int.from_bytes(sent["s"], "big"))
    raw = rlp.encode([sent["nonce"], sent["gasPrice"], sent["gas"], to, sent["value"], bytes(sent["input"]), *numbers])
    if "0x" + keccak(raw).hex() != transaction:
        raise EvidenceRejected(
            f"transaction {transaction}: its fields give another hash; a bundle takes legacy transactions, as ours are"
        )
    return {
        "raw": raw.hex(),
        "block": receipt["blockNumber"],
        "block_hash": receipt["blockHash"].to_0x_hex(),
        "time": time,
        "gas_used": receipt["gasUsed"],
        "logs": [
            {"topics": [bytes(topic).hex() for topic in log["topics"]], "data": bytes(log["data"]).hex()}
            for log in receipt["logs"]
            if log["address"] == sent.get("to")
        ],
    }


@dataclass(frozen=True)
class Transcript:
    """One finalised round's transactions; answers what an audit asks about it, on the word of nobody but `nodes`."""

    content: Mapping[str, Any]
    nodes_: tuple[Address, ...]

    @classmethod
    def read(cls, content: Mapping[str, Any], nodes: tuple[Address, ...]) -> Self:
        """A transcript that `export` wrote; raises EvidenceRejected naming the field that has another form."""
        try:
            _Content.model_validate(content)
        except ValidationError as error:
            raise EvidenceRejected(
                f"ledger.json: {first_problem(error, 'transcript')}; ask for the bundle again"
            ) from error
        return cls(content, nodes)

    @property
    def round_id(self) -> RoundId:
        """The round that it says it is about."""
        return RoundId(self.content["round"])

    @property
    def chain_id(self) -> int:
        """The chain's number."""
        return int(self.content["chain_id"])

    @property
    def contract(self) -> Address:
        """The ledger's address."""
        return Address(checksum(self.content["contract"]))

    @property
    def development(self) -> bool:
        """Whether the bundle names its chain a development chain."""
        return bool(self.content["development"])

    @cached_property
    def state(self) -> RoundState:
        """The round by the events in the receipts; raises EvidenceRejected when they do not fit the signed calls."""
        try:
            return self._checked()
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
            RLPException,
            Web3Exception,
        ) as error:
            # Whatever its author put into transactions and logs, the reader gets a finding.
            raise EvidenceRejected(
                f"round {self.round_id}: got transactions or logs of a form that no ledger makes"
                f" ({type(error).__name__})"
            ) from error

    def _checked(self) -> RoundState:
        round_events = [event for sent in self.content["transactions"] for event in self._events(sent)]
        states = assemble(round_events)
        if len(states) != 1 or states[0].round != self.content["round"]:
            raise EvidenceRejected(
                f"round {self.content['round']}: got the transactions of {len(states)} rounds, want this one's"
            )
        state = states[0]
        if state.finalised is None or state.result is None:
            raise EvidenceRejected(
                f"round {state.round}: got no result among its transactions, want the one that ended it"
            )
        if state.decided is not None or state.aborted is not None:
            raise EvidenceRejected(f"round {state.round}: got receipts of a result and of an end without one")
        function, arguments = self._call(state.finalised.location.transaction)
        result = state.result
        terms = arguments.get("terms", {})
        outcome = arguments.get("outcome", {})
        said = (
            function,
            arguments.get("round"),
            bytes(arguments.get("root", b"")).hex(),
            *(bytes(terms.get(name, b"")).hex() for name in ("studyDigest", "previousModel")),
            *(bytes(outcome.get(name, b"")).hex() for name in ("newModel", "record")),
            outcome.get("verdicts"),
        )
        wanted = (
            "finaliseRound",
            result.round,
            result.commit_root,
            result.study_digest,
            result.previous_model,
            result.new_model,
            result.record,
            result.verdicts,
        )
        if said != wanted:
            raise EvidenceRejected(f"round {state.round}: the call that ended it says {said}, its receipt {wanted}")
        signers = self._signers(result, signing.voter, _signatures(arguments))
        if signers != state.finalised.signers:
            raise EvidenceRejected(
                f"round {state.round}: its receipt counts nodes {state.finalised.signers:b}, of yours {signers:b}"
                " signed"
            )
        if state.concluded is not None:
            self._check_conclusion(state, state.concluded)
        return state

    def _check_conclusion(self, state: RoundState, event: ConcludedEvent) -> None:
        """Raise EvidenceRejected unless a majority of the nodes signed what the receipt says."""
        function, arguments = self._call(event.location.transaction)
        conclusion = Conclusion(state.round, Ending(event.reason), event.evidence)
        said = (
            function,
            arguments.get("round"),
            *(bytes(arguments.get(name, b"")).hex() for name in ("reason", "evidence")),
        )
        wanted = (
            "concludeWith",
            conclusion.round,
            conclusion.reason.encode().ljust(32, b"\0").hex(),
            conclusion.evidence,
        )
        if said != wanted or event.study != state.study:
            raise EvidenceRejected(
                f"round {state.round}: the call that concluded its study says {said}, its receipt {wanted}"
            )
        signers = self._signers(conclusion, signing.concluder, _signatures(arguments))
        if signers != event.signers or signers.bit_count() < self.nodes(state).threshold:
            raise EvidenceRejected(
                f"round {state.round}: the receipt that concludes its study counts nodes {event.signers:b}, of yours"
                f" {signers:b} signed, want {self.nodes(state).threshold} of them"
            )

    def round(self, round_id: RoundId) -> RoundState:
        """The bundle's round; raises EvidenceRejected for another."""
        if round_id != self.state.round:
            raise EvidenceRejected(f"round {round_id}: got the bundle of round {self.state.round}")
        return self.state

    def nodes(self, state: RoundState) -> Members:
        """The nodes that its reader trusts."""
        return Members(self.nodes_, len(self.nodes_) // 2 + 1)

    def hospital(self, address: Address) -> HospitalStatus:
        """What the nodes vouched for when they took the hospital's manifest in."""
        return HospitalStatus.AUTHORISED

    def signatures(self, finalised: FinalisedEvent) -> tuple[str, ...]:
        """The nodes' signatures (65 bytes each, hexadecimal) in the transaction that finalised the round."""
        _, arguments = self._call(finalised.location.transaction)
        return _signatures(arguments)

    def verify_model(self, round_id: RoundId, model: Sha256) -> bool:
        """Whether the round's result names `model`."""
        return self.state.finalised is not None and self.state.finalised.new_model == model

    def _signers(
        self, said: _Signed, signer: Callable[[_Signed, str, int, Address], Address], signatures: Sequence[str]
    ) -> int:
        """Bit i is set when the i-th trusted node made one of the signatures."""
        signed = set[Address]()
        for signature in signatures:
            with suppress(EvidenceRejected):
                signed.add(signer(said, signature, self.chain_id, self.contract))
        return sum(1 << index for index, node in enumerate(self.nodes_) if node in signed)

    def _events(self, sent: Mapping[str, Any]) -> list[Event]:
        location = TxLocation(_hash(sent), int(sent["block"]), int(sent["time"]))
        fields = rlp.decode(bytes.fromhex(sent["raw"]))
        if (
            len(fields) != _LEGACY_FIELDS
            or fields[3].hex() != self.contract[2:].lower()
            or _chain_of(fields) != self.chain_id
        ):
            raise EvidenceRejected(
                f"transaction {location.transaction}: got one for another contract or chain, want {self.contract}"
            )
        round_events = []
        for log in sent["logs"]:
            name = contract.event_name(bytes.fromhex(log["topics"][0]))
            decoded: Any = contract.interface().events[name]().process_log(_as_log(log, self.contract))
            event = events.parse(name, decoded["args"], location)
            if event is not None:
                round_events.append(event)
        return round_events

    def _call(self, transaction: str) -> tuple[str, dict[str, Any]]:
        for sent in self.content["transactions"]:
            if _hash(sent) == transaction:
                function, arguments = contract.interface().decode_function_input(
                    HexBytes(rlp.decode(bytes.fromhex(sent["raw"]))[5])
                )
                return function.fn_name, arguments
        raise EvidenceRejected(f"transaction {transaction}: got none of that hash in the bundle")


def _signatures(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of a call, 65 bytes each, hexadecimal."""
    return tuple(expanded(bytes(one["r"]), bytes(one["vs"])) for one in arguments["signatures"])


def _hash(sent: Mapping[str, Any]) -> str:
    return "0x" + keccak(bytes.fromhex(sent["raw"])).hex()


def _chain_of(fields: Sequence[bytes]) -> int:
    return (int.from_bytes(fields[6], "big") - 35) // 2


def _as_log(log: Mapping[str, Any], address: Address) -> Any:
    return {
        "address": address,
        "topics": [HexBytes(topic) for topic in log["topics"]],
        "data": HexBytes(log["data"]),
        "blockNumber": 0,
        "blockHash": HexBytes(bytes(32)),
        "transactionHash": HexBytes(bytes(32)),
        "transactionIndex": 0,
        "logIndex": 0,
        "removed": False,
    }
