"""The ledger: typed reads, and writes as calls that an outbox sends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from hexbytes import HexBytes
from web3 import Web3

from pipeline.chain import contract, rpc, transcript
from pipeline.chain.contract import Call
from pipeline.chain.encoding import checksum, expanded, word
from pipeline.chain.logs import Logs
from pipeline.chain.outbox import Outbox
from pipeline.chain.transactions import Calls
from pipeline.domain import Address, Context, Result, RoundId, RoundStatus, Sha256
from pipeline.errors import EvidenceRejected, Misconfigured
from pipeline.ledger_types.events import (
    ROUND_EVENTS,
    STANDING_EVENTS,
    STATUSES,
    Event,
    FinalisedEvent,
    NodesSetEvent,
    OpenedEvent,
    ReleasedEvent,
    StandingEvent,
    StudyId,
    StudyRegisteredEvent,
)
from pipeline.ledger_types.state import (
    HospitalStatus,
    Members,
    RoundState,
    StudyState,
    assemble,
    study_id,
)
from pipeline.site.consortium import LedgerLocation

__all__ = ["HospitalStatus", "Ledger", "Members", "RoundState", "StudyState", "deploy", "study_id"]

_FIRST_WINDOW, _WIDER = 16, 16
"""Blocks in which a round's events and neighbours are looked for first, and how many times as many each further look
takes.

What strangers put on the chain afterwards is looked through only for something that the contract says is there.
"""


def deploy(outbox: Outbox) -> Address:
    """Deploy the contract, once per outbox; its sender becomes the service provider."""
    created = outbox.send(contract.creation(), "deploy-ledger").contract
    if created is None:
        raise EvidenceRejected(
            "deploy-ledger: got a receipt without a contract address; the chain does not follow the Ethereum JSON-RPC"
        )
    return created


class Ledger(Calls):
    """One contract on one chain; every read raises Unavailable when the chain does not answer."""

    def __init__(self, web3: Web3, location: LedgerLocation) -> None:
        super().__init__(Address(location.contract))
        self.chain_id = location.chain_id
        self.development = location.development
        self._web3 = web3
        self._logs = Logs(web3, self.contract)
        self._first_block: int | None = None

    @classmethod
    def connect(cls, rpc_url: str, location: LedgerLocation, authority: Path | None = None) -> Ledger:
        """Open the ledger at `location`; raises Misconfigured when the chain or the contract is another, or none."""
        web3 = rpc.connect(rpc_url, location.chain_id, authority)
        with rpc.border("reading the contract's code"):
            code = web3.eth.get_code(checksum(location.contract))
        if not code:
            raise Misconfigured(
                f"{rpc_url}: got no contract at {location.contract}, want the ledger; was this chain created anew?"
            )
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

    def next_provider(self) -> Address:
        """The account that the provider named to take its role; zero for none."""
        return Address(self._read("pendingOwner"))

    def hospital(self, address: Address) -> HospitalStatus:
        """State of a hospital's account."""
        number: int = self._read("hospitals", checksum(address))
        return tuple(HospitalStatus)[number]

    def present_key(self, address: Address) -> Address:
        """The key to which the hospital of this key has moved on, or that key itself; zero for no hospital's."""
        return Address(self._read("keyHolder", checksum(address))[1])

    def standings(self, state: RoundState, addresses: Iterable[Address]) -> dict[Address, HospitalStatus]:
        """Hospitals' accounts as a round takes them.

        Keys as of the opening, states as of the commit, or as of now until then.
        """
        # The present states first: what changes meanwhile is among the events.
        present = {address: self._read("keyHolder", checksum(address)) for address in addresses}
        later: tuple[StandingEvent, ...] = ()
        if state.committed is not None:
            block = state.committed.location.block
            later = tuple(event for event in self._decisions(block) if event.location.block > block)
        return {address: self._standing(state, address, holder, later) for address, holder in present.items()}

    def _standing(
        self, state: RoundState, address: Address, holder: tuple[Address, Address, int], later: Iterable[StandingEvent]
    ) -> HospitalStatus:
        first, present, number = holder
        if present != address:
            moved = self._logs.find("HospitalKeyRotated", (bytes.fromhex(address[2:]).rjust(32, b"\0"),), self._start())
            if any(event.location.block <= state.opened.location.block for event in moved):
                return HospitalStatus.RETIRED
        for event in later:
            if self._concerns(event, first):
                if not event.authorised:
                    return HospitalStatus.AUTHORISED
                before = (one for one in self._decisions(self._start()) if one.location.block < event.location.block)
                decided_before = any(self._concerns(one, first) for one in before)
                return HospitalStatus.REVOKED if decided_before else HospitalStatus.REGISTERED
        return tuple(HospitalStatus)[number]

    def has_study(self, study: StudyId) -> bool:
        """Whether the study was registered."""
        return bool(self._read("studies", word(study))[0])

    def study(self, study: StudyId) -> StudyState:
        """A study's state; raises EvidenceRejected when it was never registered."""
        nodes, threshold, epoch, changes, initial, current, opened = self._read("studies", word(study))
        if not nodes:
            raise EvidenceRejected(f"study {study}: got none of that id on the ledger; the provider registers it first")
        made = self.round(RoundId(current)) if current else None
        finalised = made.finalised if made else None
        return StudyState(
            study=study,
            nodes=tuple(Address(node) for node in nodes),
            threshold=threshold,
            epoch=epoch,
            changes=changes,
            current_model=finalised.new_model if finalised else Sha256(bytes(initial).hex()),
            current_round=RoundId(current),
            open_round=RoundId(opened) if opened else None,
            concluded=made.concluded if made else None,
        )

    def registration(self, study: StudyId) -> StudyRegisteredEvent:
        """How a study was registered, with its initial model; raises EvidenceRejected when it was not."""
        for first, last in self._onwards(self._start()):
            for event in self._logs.find("StudyRegistered", (word(study),), first, last):
                if isinstance(event, StudyRegisteredEvent):
                    return event
        raise EvidenceRejected(f"study {study}: got none of that id on the ledger; the provider registers it first")

    def parent_round(self, study: StudyId) -> RoundId | None:
        """The round of another study whose model this one started from; None for a first model of its own."""
        number: int = self._read("parentRound", word(study))
        return RoundId(number) if number else None

    def nodes(self, state: RoundState) -> Members:
        """The nodes that decide, or decided, about a round: those of its opening."""
        members: Members | None = None
        for event in self._logs.find("NodesSet", (word(state.study),), self._start(), state.opened.location.block):
            if isinstance(event, NodesSetEvent):
                members = Members(event.nodes, event.threshold)
        if members is None:
            raise EvidenceRejected(f"study {state.study}: got no nodes on the ledger before round {state.round}")
        return members

    def suspended(self, study: StudyId, node: Address) -> bool:
        """Whether the ledger no longer counts a node's signatures.

        Raises EvidenceRejected when it is no node of the study.
        """
        is_node, suspended = self._read("isNode", word(study), checksum(node))
        if not is_node:
            raise EvidenceRejected(f"{node}: got no node of study {study}, want one that the ledger has")
        return bool(suspended)

    def released(self, study: StudyId, last: RoundState | None, until: int | None = None) -> tuple[Address, ...]:
        """Hospitals that a majority released from quarantine.

        From the block of `last`, then the study's current round (None: it had none), to block `until`.
        """
        start = self._start()
        if last is not None:
            start = last.finalised.location.block if last.finalised else last.opened.location.block
        releases = self._logs.find("HospitalReleased", (word(study),), start, "latest" if until is None else until)
        after = last.round if last and last.study == study else 0
        return tuple(
            event.hospital for event in releases if isinstance(event, ReleasedEvent) and event.after_round == after
        )

    def first_account(self, address: Address) -> Address:
        """The account with which a hospital registered, which names it whatever its key; zero for no hospital's."""
        return Address(self._read("keyHolder", checksum(address))[0])

    def status(self, round_id: RoundId) -> RoundStatus:
        """A round's state; NONE when it was never opened."""
        number: int = self._read("rounds", round_id)[1]
        return STATUSES[number]

    def round(self, round_id: RoundId) -> RoundState:
        """A round with all its events; raises EvidenceRejected when it was never opened."""
        _, status, opened_in, direct, concludes = self._read("rounds", round_id)
        round_events: list[Event] = []
        for first, last in self._onwards(opened_in) if opened_in else ():
            round_events += self._logs.find(ROUND_EVENTS, (round_id.to_bytes(32, "big"),), first, last)
            for state in assemble(round_events):
                told = len(state.direct) >= direct and STATUSES.index(state.status) >= status
                if told and (state.concluded is not None or not concludes):
                    return state
        for state in assemble(round_events):
            return state
        raise EvidenceRejected(f"round {round_id}: got none of that number on the ledger")

    def rounds(self, study: StudyId | None = None) -> tuple[RoundState, ...]:
        """Every round, of one study or of all, in the order of opening."""
        if study is None:
            return tuple(assemble(self._logs.find(ROUND_EVENTS, (), self._start())))
        # A ledger of many studies holds much that was over before this one began.
        openings = {opened.round: opened.location.block for opened in self._openings(study, self._start())}
        events = self._logs.find(ROUND_EVENTS, (), min(openings.values())) if openings else ()
        return tuple(assemble(events, openings))

    def line(self, study: StudyId) -> tuple[RoundState, ...]:
        """The rounds of a study, and before them those of the studies that it continues, in the order of opening.

        Of these up to the round whose model the next study started from.
        """
        states = self.rounds(study)
        current = study
        while (last := self.parent_round(current)) is not None:
            current = self.round(last).study
            own = self.rounds(current)
            states = own[: [state.round for state in own].index(last) + 1] + states
        return states

    def opened(self, first: int) -> tuple[RoundId, ...]:
        """Numbers of the rounds that were opened in block `first` or later, in that order."""
        openings = self._logs.find("RoundOpened", (), max(first, self._start()))
        return tuple(event.round for event in openings if isinstance(event, OpenedEvent))

    def before(self, state: RoundState, count: int) -> tuple[RoundState, ...]:
        """The `count` rounds of its study's line that were finalised last before `state` was opened, oldest first."""
        finalised = (number for number in self._earlier(state) if self.status(number) is RoundStatus.FINALISED)
        return tuple(map(self.round, islice(finalised, count)))[::-1]

    def judged(self, state: RoundState, count: int) -> tuple[RoundState, ...]:
        """The `count` rounds of its study's line that judged hospitals last before `state`, and all since a model.

        Oldest first.
        """
        judged: list[RoundState] = []
        for number in self._earlier(state):
            if len(judged) >= count and any(one.finalised for one in judged):
                break
            # A study has one open round at a time: all that were opened before have ended.
            if (one := self.round(number)).judged:
                judged.append(one)
        return tuple(reversed(judged))

    def after(self, state: RoundState) -> RoundState | None:
        """The round of its study that was opened next; None while there is none."""
        reached = False
        for first, last in self._onwards(state.opened.location.block):
            for opened in self._openings(state.study, first, last):
                if reached:
                    return self.round(opened.round)
                reached = opened.round == state.round
        return None

    def context(self, round_id: RoundId) -> Context:
        """What every statement and envelope of a round is bound to."""
        opened = self.round(round_id).opened
        return Context(self.chain_id, self.contract, opened.study_digest, round_id, opened.previous_model)

    def signatures(self, finalised: FinalisedEvent) -> tuple[str, ...]:
        """The nodes' signatures (65 bytes each, hexadecimal) in the transaction that finalised a round."""
        with rpc.border(f"transaction {finalised.location.transaction}"):
            sent = self._web3.eth.get_transaction(HexBytes(finalised.location.transaction))
        try:
            function, arguments = contract.interface().decode_function_input(sent["input"])
        except ValueError as error:
            raise EvidenceRejected(
                f"transaction {finalised.location.transaction}: got no call of the ledger"
            ) from error
        if function.fn_name != "finaliseRound" or arguments["round"] != finalised.round:
            raise EvidenceRejected(
                f"transaction {finalised.location.transaction}: got {function.fn_name}, want"
                f" finaliseRound({finalised.round})"
            )
        return tuple(expanded(bytes(one["r"]), bytes(one["vs"])) for one in arguments["signatures"])

    def transcript(self, state: RoundState) -> dict[str, Any]:
        """The round's transactions and receipts, as JSON for a proof bundle."""
        return transcript.export(self._web3, self.chain_id, self.contract, state, self.development)

    def verify_model(self, round_id: RoundId, model: Sha256) -> bool:
        """Whether a majority decided that the round ends with `model`."""
        return bool(self._read("verifyModel", round_id, word(model)))

    def verify_commit(self, root: Sha256, manifest: Sha256, proof: Sequence[str]) -> bool:
        """Whether the contract finds `manifest` under `root` by its Merkle `proof`."""
        return bool(self._read("verifyCommit", word(root), word(manifest), [word(sibling) for sibling in proof]))

    # ----------------------------------------------- writes that stand on a read

    def finalise_round(self, result: Result, signatures: Sequence[str]) -> Call:
        """Anybody ends a round, on the terms that the ledger has, with what a majority of its nodes signed."""
        return self.finalise(self.round(result.round), result, signatures)

    def abort_round(self, round_id: RoundId) -> Call:
        """Anybody ends a round whose deadline has passed."""
        return self.abort(self.round(round_id))

    # ---------------------------------------------------------------- plumbing

    def _read(self, function: str, *arguments: Any) -> Any:
        with rpc.border(f"{function}({', '.join(_show(argument) for argument in arguments)})"):
            data = contract.question(function, *arguments)
            return contract.answer(
                function, self._web3.eth.call({"to": checksum(self.contract), "data": HexBytes(data)})
            )

    def _start(self) -> int:
        if self._first_block is None:
            self._first_block = int(self._read("deployedInBlock"))
        return self._first_block

    def _onwards(self, first: int) -> Iterator[tuple[int, int]]:
        """First and last block of ever wider windows from block `first` to the latest one."""
        width = _FIRST_WINDOW
        height = self.height()
        while first <= height:
            yield first, min(height, first + width - 1)
            first = first + width
            width = _WIDER * width

    def _decisions(self, since: int) -> Iterator[StandingEvent]:
        """What the provider decided about hospitals, from block `since` on."""
        return (event for event in self._logs.find(STANDING_EVENTS, (), since) if isinstance(event, StandingEvent))

    def _concerns(self, event: StandingEvent, first: Address) -> bool:
        """Whether a decision is about the hospital that registered with the account `first`."""
        return first in (self._read("keyHolder", checksum(one))[0] for one in event.hospitals)

    def _earlier(self, state: RoundState) -> Iterator[RoundId]:
        """The rounds of its study that were opened before `state`, newest first, then those that it continues."""
        start = self._start()
        last = state.opened.location.block
        width = _FIRST_WINDOW
        reached = False
        while last >= start:
            first = max(start, last - width + 1)
            for opened in reversed(list(self._openings(state.study, first, last))):
                if reached:
                    yield opened.round
                reached = reached or opened.round == state.round
            last = first - 1
            width = _WIDER * width
        if (continued := self.parent_round(state.study)) is not None:
            yield continued
            yield from self._earlier(self.round(continued))

    def _openings(self, study: StudyId, first: int, last: int | Literal["latest"] = "latest") -> Iterator[OpenedEvent]:
        """Where rounds of a study were opened, in the blocks from `first` to `last`."""
        for event in self._logs.find("RoundOpened", (None, word(study)), first, last):
            if isinstance(event, OpenedEvent):
                yield event


def _show(argument: Any) -> str:
    return argument.hex() if isinstance(argument, bytes) else str(argument)
