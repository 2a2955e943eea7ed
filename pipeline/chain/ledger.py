"""The ledger: typed reads, and writes as calls that an outbox sends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from eth_typing import ChecksumAddress, HexStr
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from web3 import Web3
from web3.types import FilterParams, LogReceipt

from pipeline.chain import contract, events, rpc
from pipeline.chain.contract import Call
from pipeline.chain.events import (
    STATUSES,
    AbortedEvent,
    CommittedEvent,
    Event,
    FinalisedEvent,
    OpenedEvent,
    Place,
    StudyId,
    StudyRegisteredEvent,
)
from pipeline.chain.outbox import Outbox
from pipeline.consortium import LedgerLocation
from pipeline.domain import Address, Context, Result, RoundId, RoundStatus, Sha256
from pipeline.errors import EvidenceRejected, Misconfigured

_FIRST_WINDOW = 16
"""Blocks in which a round's neighbours are looked for first; each further look takes four times as many."""


class HospitalStatus(StrEnum):
    """State of a hospital's account; the order is the contract's."""

    UNKNOWN = "unknown"
    REGISTERED = "registered"
    AUTHORISED = "authorised"
    REVOKED = "revoked"


@dataclass(frozen=True)
class StudyState:
    """A study as the ledger has it now; round 0 stands for the initial model."""

    study: StudyId
    nodes: tuple[Address, ...]
    threshold: int
    current_model: Sha256
    current_round: RoundId
    open_round: RoundId | None


@dataclass(frozen=True)
class RoundState:
    """One round, from the events that the contract recorded."""

    opened: OpenedEvent
    committed: CommittedEvent | None = None
    finalised: FinalisedEvent | None = None
    aborted: AbortedEvent | None = None

    @property
    def round(self) -> RoundId:
        """The round's number."""
        return self.opened.round

    @property
    def study(self) -> StudyId:
        """The study that it belongs to."""
        return self.opened.study

    @property
    def status(self) -> RoundStatus:
        """The round's state."""
        if self.finalised:
            return RoundStatus.FINALISED
        if self.aborted:
            return RoundStatus.ABORTED
        return RoundStatus.COMMITTED if self.committed else RoundStatus.OPEN

    @property
    def deadline(self) -> int | None:
        """Block time after which anybody may abort the round; None once it has ended."""
        return {RoundStatus.OPEN: self.opened.commit_deadline, RoundStatus.COMMITTED: self.opened.result_deadline}.get(self.status)

    @property
    def result(self) -> Result | None:
        """What the majority signed; None unless the round is finalised."""
        if self.finalised is None or self.committed is None:
            return None
        return Result(
            round=self.round,
            study_digest=self.opened.study_digest,
            commit_root=self.committed.root,
            verdicts=self.finalised.verdicts,
            previous_model=self.finalised.previous_model,
            new_model=self.finalised.new_model,
            record=self.finalised.record,
        )


def study_id(name: str) -> StudyId:
    """A study's id on the ledger: Keccak-256 of its name in UTF-8."""
    return StudyId(keccak(name.encode()).hex())


def deploy(outbox: Outbox) -> Address:
    """Deploy the contract, once per outbox; its sender becomes the service provider."""
    created = outbox.send(contract.creation(), "deploy-ledger").contract
    if created is None:
        raise EvidenceRejected("deploy-ledger: got a receipt without a contract address; the chain does not follow the Ethereum JSON-RPC")
    return created


class Ledger:
    """One contract on one chain; every read raises Unavailable when the chain does not answer."""

    def __init__(self, web3: Web3, location: LedgerLocation) -> None:
        self.chain_id, self.contract, self.development = location.chain_id, Address(location.contract), location.development
        self._web3 = web3
        self._contract = web3.eth.contract(address=_checksum(location.contract), abi=contract.abi())
        self._first_block: int | None = None

    @classmethod
    def connect(cls, rpc_url: str, location: LedgerLocation) -> Ledger:
        """Open the ledger at `location`; raises Misconfigured when the chain or the contract is another, or none."""
        web3 = rpc.connect(rpc_url, location.chain_id)
        with rpc.border("reading the contract's code"):
            code = web3.eth.get_code(_checksum(location.contract))
        if not code:
            raise Misconfigured(f"{rpc_url}: got no contract at {location.contract}, want the ledger; was this chain created anew?")
        return cls(web3, location)

    # ------------------------------------------------------------------ reads

    def block_time(self) -> int:
        """The time in seconds that a transaction sent now would see, by the chain's own clock."""
        with rpc.border("block time"):
            # The pending block: on a chain that makes blocks on demand the latest one may be hours old.
            return int(self._web3.eth.get_block("pending")["timestamp"])

    def height(self) -> int:
        """Number of the latest block."""
        with rpc.border("block number"):
            return int(self._web3.eth.block_number)

    def provider(self) -> Address:
        """The service provider's account."""
        return Address(self._read("provider"))

    def hospital(self, address: Address) -> HospitalStatus:
        """State of a hospital's account."""
        number: int = self._read("hospitals", _checksum(address))
        return tuple(HospitalStatus)[number]

    def has_study(self, study: StudyId) -> bool:
        """Whether the study was registered."""
        return bool(self._read("studies", _word(study))[0])

    def study(self, study: StudyId) -> StudyState:
        """A study's state; raises EvidenceRejected when it was never registered."""
        nodes, threshold, model, current, opened = self._read("studies", _word(study))
        if not nodes:
            raise EvidenceRejected(f"study {study}: got none of that id on the ledger; the provider registers it first")
        return StudyState(
            study=study,
            nodes=tuple(Address(node) for node in nodes),
            threshold=threshold,
            current_model=Sha256(bytes(model).hex()),
            current_round=RoundId(current),
            open_round=RoundId(opened) if opened else None,
        )

    def registration(self, study: StudyId) -> StudyRegisteredEvent:
        """How a study was registered, with its nodes and initial model; raises EvidenceRejected when it was not."""
        for event in self._events("StudyRegistered", study, self._start()):
            if isinstance(event, StudyRegisteredEvent):
                return event
        raise EvidenceRejected(f"study {study}: got none of that id on the ledger; the provider registers it first")

    def status(self, round_id: RoundId) -> RoundStatus:
        """A round's state; NONE when it was never opened."""
        number: int = self._read("rounds", round_id)[1]
        return STATUSES[number]

    def round(self, round_id: RoundId) -> RoundState:
        """A round with all its events; raises EvidenceRejected when it was never opened."""
        opened_in = self._read("rounds", round_id)[5]
        if opened_in:
            for state in _assemble(self._events(None, f"{round_id:064x}", opened_in)):
                return state
        raise EvidenceRejected(f"round {round_id}: got none of that number on the ledger")

    def rounds(self, study: StudyId | None = None) -> tuple[RoundState, ...]:
        """Every round, of one study or of all, in the order of opening."""
        found = _assemble(self._events(None, None, self._start()))
        return tuple(state for state in found if study in (None, state.study))

    def before(self, state: RoundState, count: int) -> tuple[RoundState, ...]:
        """The `count` rounds of its study that were finalised last before `state` was opened, oldest first."""
        found: list[RoundId] = []
        start, last, width = self._start(), state.opened.place.block, _FIRST_WINDOW
        while last >= start and len(found) < count:
            first = max(start, last - width + 1)
            decided = []
            for event in self._steps(state.study, first, last):
                if event.round == state.round:
                    break  # the order of events is the order of blocks and of transactions within one
                if isinstance(event, FinalisedEvent):
                    decided.append(event.round)
            found = decided + found
            last, width = first - 1, 4 * width
        return tuple(self.round(number) for number in found[len(found) - min(count, len(found)) :])

    def after(self, state: RoundState) -> RoundState | None:
        """The round of its study that was opened next; None while there is none."""
        first, width, height, own = state.opened.place.block, _FIRST_WINDOW, self.height(), False
        while first <= height:
            for event in self._steps(state.study, first, min(height, first + width - 1)):
                if own and isinstance(event, OpenedEvent):
                    return self.round(event.round)
                own = own or event.round == state.round
            first, width = first + width, 4 * width
        return None

    def sealing_keys(self, round_id: RoundId) -> tuple[str, ...]:
        """Digests of the nodes' signed key records of a round, in the study's order of nodes."""
        return self.round(round_id).opened.sealing_keys

    def context(self, round_id: RoundId) -> Context:
        """What every statement and envelope of a round is bound to."""
        opened = self.round(round_id).opened
        return Context(self.chain_id, self.contract, opened.study_digest, round_id, opened.previous_model)

    def signatures(self, finalised: FinalisedEvent) -> tuple[str, ...]:
        """The nodes' signatures (65 bytes each, hexadecimal) in the transaction that finalised a round."""
        with rpc.border(f"transaction {finalised.place.transaction}"):
            sent = self._web3.eth.get_transaction(HexBytes(finalised.place.transaction))
        try:
            function, arguments = self._contract.decode_function_input(sent["input"])
        except ValueError as error:
            raise EvidenceRejected(f"transaction {finalised.place.transaction}: got no call of the ledger") from error
        if function.fn_name != "finaliseRound" or arguments["round"] != finalised.round:
            raise EvidenceRejected(
                f"transaction {finalised.place.transaction}: got {function.fn_name}, want finaliseRound({finalised.round})"
            )
        return tuple(bytes(signature).hex() for signature in arguments["signatures"])

    def verify_model(self, round_id: RoundId, model: Sha256) -> bool:
        """Whether a majority decided that the round ends with `model`."""
        return bool(self._read("verifyModel", round_id, _word(model)))

    def verify_commit(self, root: Sha256, manifest: Sha256, proof: Sequence[str]) -> bool:
        """Whether the contract finds `manifest` under `root` by its Merkle `proof`."""
        return bool(self._read("verifyCommit", _word(root), _word(manifest), [_word(sibling) for sibling in proof]))

    # ------------------------------------------------------- writes, as unsent calls

    def register_hospital(self) -> Call:
        """A hospital registers its own account."""
        return self._call("registerHospital")

    def authorise_hospitals(self, hospitals: Iterable[Address]) -> Call:
        """The provider authorises registered or revoked hospitals, all or none."""
        return self._call("authoriseHospitals", [_checksum(hospital) for hospital in hospitals])

    def revoke_hospitals(self, hospitals: Iterable[Address]) -> Call:
        """The provider revokes authorised hospitals, all or none."""
        return self._call("revokeHospitals", [_checksum(hospital) for hospital in hospitals])

    def register_study(self, study: StudyId, nodes: Sequence[Address], initial_model: Sha256) -> Call:
        """The provider registers a study once, with 3 to 16 nodes."""
        return self._call("registerStudy", _word(study), [_checksum(node) for node in nodes], _word(initial_model))

    def open_round(
        self,
        round_id: RoundId,
        study: StudyId,
        *,
        study_digest: Sha256,
        previous_model: Sha256,
        sealing_keys: Sequence[str],
        commit_deadline: int,
        result_deadline: int,
    ) -> Call:
        """The provider opens a round on the study's current model; deadlines are block times in seconds."""
        keys = [_word(key) for key in sealing_keys]
        terms = (_word(study_digest), _word(previous_model), keys, commit_deadline, result_deadline)
        return self._call("openRound", round_id, _word(study), *terms)

    def commit_round(self, round_id: RoundId, root: Sha256, count: int) -> Call:
        """The provider or a node fixes the set of `count` hospitals that take part."""
        return self._call("commitRound", round_id, _word(root), count)

    def finalise_round(self, result: Result, signatures: Sequence[str]) -> Call:
        """Anybody ends a round with what a majority of its nodes signed (65 bytes each, hexadecimal)."""
        outcome = (result.verdicts, _word(result.new_model), _word(result.record))
        return self._call("finaliseRound", result.round, *outcome, [bytes.fromhex(signature) for signature in signatures])

    def abort_round(self, round_id: RoundId) -> Call:
        """Anybody ends a round whose deadline has passed."""
        return self._call("abortRound", round_id)

    # ---------------------------------------------------------------- plumbing

    def _call(self, function: str, *arguments: Any) -> Call:
        return contract.encode(self.contract, function, *arguments)

    def _read(self, function: str, *arguments: Any) -> Any:
        with rpc.border(f"{function}({', '.join(_show(argument) for argument in arguments)})"):
            return self._contract.functions[function](*arguments).call()

    def _start(self) -> int:
        if self._first_block is None:
            self._first_block = int(self._read("deployedInBlock"))
        return self._first_block

    def _events(self, name: str | None, key: str | None, from_block: int) -> Iterator[Event]:
        topics = [contract.topic(name) if name else None, bytes.fromhex(key) if key else None]
        yield from self._logs([_topic(item) for item in topics] if name or key else [], from_block, "latest")

    def _steps(self, study: StudyId, first: int, last: int) -> Iterator[OpenedEvent | FinalisedEvent]:
        """Where rounds of a study were opened or finalised, in the blocks from `first` to `last`."""
        names = [_topic(contract.topic(name)) for name in ("RoundOpened", "RoundFinalised")]
        for event in self._logs([names, None, _topic(bytes.fromhex(study))], first, last):
            if isinstance(event, OpenedEvent | FinalisedEvent):
                yield event

    def _logs(self, topics: Any, first: int, last: int | Literal["latest"]) -> Iterator[Event]:
        wanted: FilterParams = {"address": _checksum(self.contract), "fromBlock": first, "toBlock": last, "topics": topics}
        with rpc.border("event logs"):
            for log in self._web3.eth.get_logs(wanted):
                decoded = self._contract.events[_event_name(log)]().process_log(log)
                event = events.parse(decoded["event"], decoded["args"], self._place(log))
                if event is not None:
                    yield event

    def _place(self, log: LogReceipt) -> Place:
        # Not every chain's logs carry the block's time.
        stamped: Any = log.get("blockTimestamp")
        time = stamped if stamped is not None else self._web3.eth.get_block(log["blockNumber"])["timestamp"]
        seconds = int(time, 16) if isinstance(time, str) else int(time)
        return Place(log["transactionHash"].to_0x_hex(), log["blockNumber"], seconds)


def _assemble(found: Iterable[Event]) -> list[RoundState]:
    by_round: dict[RoundId, dict[str, Any]] = {}
    fields = {OpenedEvent: "opened", CommittedEvent: "committed", FinalisedEvent: "finalised", AbortedEvent: "aborted"}
    for event in found:
        if not isinstance(event, StudyRegisteredEvent):
            by_round.setdefault(event.round, {})[fields[type(event)]] = event
    return [RoundState(**parts) for parts in by_round.values()]


def _topic(value: bytes | None) -> HexStr | None:
    return HexStr("0x" + value.hex()) if value else None


def _event_name(log: LogReceipt) -> str:
    return contract.event_name(bytes(log["topics"][0]))


def _checksum(address: str) -> ChecksumAddress:
    try:
        return Web3.to_checksum_address(address)
    except ValueError as error:
        raise Misconfigured(f"got address {address!r}, want 0x and 40 hexadecimal digits") from error


def _word(value: str) -> bytes:
    try:
        word = bytes.fromhex(value)
    except ValueError:
        word = b""
    if len(word) != 32:
        raise Misconfigured(f"got {value!r} for a digest or key, want 64 hexadecimal digits without 0x")
    return word


def _show(argument: Any) -> str:
    return argument.hex() if isinstance(argument, bytes) else str(argument)
