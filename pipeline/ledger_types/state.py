"""What the ledger says about hospitals, studies and rounds, as frozen types."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from eth_utils.crypto import keccak

from pipeline.domain import Address, Result, RoundId, RoundStatus, Sha256, direct_grace
from pipeline.ledger_types.events import (
    AbortDecidedEvent,
    AbortedEvent,
    CommittedDirectlyEvent,
    CommittedEvent,
    ConcludedEvent,
    Event,
    FinalisedEvent,
    OpenedEvent,
    StudyId,
)


class HospitalStatus(StrEnum):
    """State of a hospital's account; the order is the contract's."""

    UNKNOWN = "unknown"
    REGISTERED = "registered"
    AUTHORISED = "authorised"
    REVOKED = "revoked"
    RETIRED = "retired"


@dataclass(frozen=True)
class Members:
    """Nodes of a study, and how many of them decide."""

    nodes: tuple[Address, ...]
    threshold: int


@dataclass(frozen=True)
class StudyState:
    """A study as the ledger has it now.

    Round 0 stands for the initial model, `changes` counts what its nodes decided about it.
    """

    study: StudyId
    nodes: tuple[Address, ...]
    threshold: int
    epoch: int
    changes: int
    current_model: Sha256
    current_round: RoundId
    open_round: RoundId | None
    concluded: ConcludedEvent | None = None
    """How the current round concluded it; None while its rounds go on."""

    @property
    def members(self) -> Members:
        """Its nodes as they are now."""
        return Members(self.nodes, self.threshold)


@dataclass(frozen=True)
class RoundState:
    """One round, from the events that the contract recorded."""

    opened: OpenedEvent
    committed: CommittedEvent | None = None
    finalised: FinalisedEvent | None = None
    decided: AbortDecidedEvent | None = None
    aborted: AbortedEvent | None = None
    direct: tuple[CommittedDirectlyEvent, ...] = ()
    concluded: ConcludedEvent | None = None
    """How its model became the study's last one."""

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
        commit = self.opened.commit_deadline
        result = self.opened.result_deadline
        grace = direct_grace(result - commit) if self.direct else 0
        return {RoundStatus.OPEN: commit + grace, RoundStatus.COMMITTED: result}.get(self.status)

    @property
    def judged(self) -> bool:
        """Whether it ended with a verdict on hospitals: a model, or an abort by a majority that blames some."""
        return self.finalised is not None or (self.decided is not None and bool(self.decided.blamed))

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
            previous_model=self.opened.previous_model,
            new_model=self.finalised.new_model,
            record=self.finalised.record,
        )


def study_id(name: str) -> StudyId:
    """A study's id on the ledger: Keccak-256 of its name in UTF-8."""
    return StudyId(keccak(name.encode()).hex())


def assemble(events: Iterable[Event], only: Container[RoundId] | None = None) -> list[RoundState]:
    """The rounds that events tell of, or of these `only` those named, in the order of opening."""
    by_round: dict[RoundId, dict[str, Any]] = {}
    fields = {
        OpenedEvent: "opened",
        CommittedEvent: "committed",
        FinalisedEvent: "finalised",
        AbortDecidedEvent: "decided",
        AbortedEvent: "aborted",
        ConcludedEvent: "concluded",
    }
    for event in events:
        match event:
            case (
                OpenedEvent()
                | CommittedEvent()
                | FinalisedEvent()
                | AbortDecidedEvent()
                | AbortedEvent()
                | ConcludedEvent()
            ):
                by_round.setdefault(event.round, {})[fields[type(event)]] = event
            case CommittedDirectlyEvent():
                parts = by_round.setdefault(event.round, {})
                parts["direct"] = (*parts.get("direct", ()), event)
            case _:
                pass
    return [RoundState(**parts) for number, parts in by_round.items() if only is None or number in only]
