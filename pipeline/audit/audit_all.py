"""The audit of all rounds.

What the rounds have in common is read from the ledger once, and each round's evidence in one piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, cached_property, lru_cache
from itertools import islice

from pipeline.audit.audit_round import AuditReport, audit
from pipeline.audit.interfaces import HistoryReader, ObjectStore
from pipeline.domain import RoundId
from pipeline.errors import EvidenceRejected
from pipeline.ledger_types.events import StudyId
from pipeline.ledger_types.state import RoundState


class Sweep:
    """Audits any rounds of one ledger, as it stood when the first was asked for.

    An audit takes the same time however many rounds there are.
    """

    def __init__(self, ledger: HistoryReader, store: ObjectStore) -> None:
        self._ledger = _Remembered(ledger)
        self._store = _Recent(store)

    @property
    def rounds(self) -> tuple[RoundId, ...]:
        """Every round that has ended, in the order of opening."""
        return tuple(number for number, state in self._ledger.states.items() if state.finalised or state.aborted)

    def audit(self, round_id: RoundId) -> AuditReport:
        """Audit one round."""
        return audit(round_id, self._ledger, self._store, packed=True)


class _Recent:
    """A store whose last answers are kept: a round's model and record are read once for it and the next one."""

    def __init__(self, store: ObjectStore) -> None:
        self.get = lru_cache(maxsize=16)(store.get)
        self.history = lru_cache(maxsize=16)(store.history)
        self.first = lru_cache(maxsize=16)(store.first)


class _Remembered:
    """A ledger read once: its rounds by one listing, studies and hospitals when they first come up."""

    def __init__(self, ledger: HistoryReader) -> None:
        self._ledger = ledger
        self.chain_id = ledger.chain_id
        self.contract = ledger.contract
        self.development = ledger.development
        # The contract's state moves on while an audit runs; within one audit it must not.
        self.study = cache(ledger.study)
        self.registration = cache(ledger.registration)
        self.parent_round = cache(ledger.parent_round)
        self.hospital = cache(ledger.hospital)
        self.first_account = cache(ledger.first_account)
        # A round's own, each asked once.
        self.nodes = ledger.nodes
        self.released = ledger.released
        self.signatures = ledger.signatures
        self.verify_model = ledger.verify_model

    @cached_property
    def states(self) -> dict[RoundId, RoundState]:
        return {state.round: state for state in self._ledger.rounds()}

    def _earlier(self, state: RoundState) -> Iterator[RoundState]:
        """The rounds of its study's line before `state`, newest first."""
        states, index = self._in_study[state.round]
        yield from reversed(states[:index])
        if (continued := self.parent_round(state.study)) is not None:
            yield self.states[continued]
            yield from self._earlier(self.states[continued])

    @cached_property
    def _in_study(self) -> dict[RoundId, tuple[list[RoundState], int]]:
        """Round to the rounds of its study and its index among them."""
        by_study: dict[StudyId, list[RoundState]] = {}
        for state in self.states.values():
            by_study.setdefault(state.study, []).append(state)
        return {state.round: (states, index) for states in by_study.values() for index, state in enumerate(states)}

    def round(self, round_id: RoundId) -> RoundState:
        if round_id not in self.states:
            raise EvidenceRejected(f"round {round_id}: got none of that number on the ledger")
        return self.states[round_id]

    def rounds(self) -> Sequence[RoundState]:
        return tuple(self.states.values())

    def line(self, study: StudyId) -> Sequence[RoundState]:
        return self._ledger.line(study)

    def before(self, state: RoundState, count: int) -> Sequence[RoundState]:
        finalised = (one for one in self._earlier(state) if one.finalised)
        return list(islice(finalised, count))[::-1]

    def judged(self, state: RoundState, count: int) -> Sequence[RoundState]:
        judged: list[RoundState] = []
        for one in self._earlier(state):
            if len(judged) >= count and any(earlier.finalised for earlier in judged):
                break
            if one.judged:
                judged.append(one)
        return judged[::-1]

    def after(self, state: RoundState) -> RoundState | None:
        states, index = self._in_study[state.round]
        # Of a study's last round the ledger is asked again: one may have been opened since.
        return states[index + 1] if index + 1 < len(states) else self._ledger.after(state)
