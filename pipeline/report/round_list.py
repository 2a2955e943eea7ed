"""The list of rounds: one entry per round of the ledger, oldest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.audit.ends import End
from pipeline.audit.interfaces import HistoryReader, ObjectStore
from pipeline.domain import HospitalName, RoundId, RoundStatus, Sha256, Verdict
from pipeline.ledger_types.state import RoundState
from pipeline.report.round_view import RoundView, gather_anyway


@dataclass(frozen=True)
class RoundSummary:
    """One round in the list; None where it has not come to that, or never will."""

    round: RoundId
    study: str | None
    status: RoundStatus
    engine: str | None
    protocol: str | None
    verdicts: Mapping[HospitalName, Verdict]
    model_sha256: Sha256 | None
    tx: str | None
    seconds: Mapping[str, float]
    accuracy: float | None
    end: End | None
    """Why it has no model, of an aborted round; the list leaves that to `wardround show`."""
    concluded: str | None = None
    """The reason for which its study was concluded with it, as the ledger spells it."""
    trouble: str | None = None
    """What of its evidence does not hold, so that nothing more can be said."""

    def to_json(self) -> dict[str, Any]:
        """For `wardround rounds --json`."""
        return {
            "round": self.round,
            "study": self.study,
            "status": self.status.value,
            "engine": self.engine,
            "protocol": self.protocol,
            "verdicts": {name: verdict.value for name, verdict in self.verdicts.items()},
            "model_sha256": self.model_sha256,
            "tx": self.tx,
            "seconds": dict(self.seconds),
            "accuracy": self.accuracy,
            "concluded": self.concluded,
            "trouble": self.trouble,
        }


def summary(view: RoundView) -> RoundSummary:
    """A view in one line."""
    record = view.record
    return RoundSummary(
        round=view.round,
        study=view.study,
        status=view.status,
        engine=record.engine if record else None,
        protocol=record.protocol if record else None,
        verdicts={row.name: row.verdict for row in view.hospitals},
        model_sha256=view.model,
        tx=view.tx,
        seconds=view.seconds,
        accuracy=view.accuracy,
        end=view.end,
        concluded=view.concluded,
        trouble=view.trouble,
    )


def summaries(ledger: HistoryReader, store: ObjectStore, names: Mapping[str, str] | None = None) -> list[RoundSummary]:
    """Every round of the ledger, oldest first.

    `names` gives studies by ledger id, for those without a finished round.
    """
    return [summary(view) for view in views(ledger.rounds(), ledger, store, names)]


def views(
    states: Sequence[RoundState], ledger: HistoryReader, store: ObjectStore, names: Mapping[str, str] | None = None
) -> list[RoundView]:
    """Views of these rounds, oldest first, also of those whose evidence does not hold.

    A study's name is taken from any of its finished rounds.
    """
    study_names = dict(names or {})
    gathered = []
    for state in sorted(states, key=_finished_first):
        view = gather_anyway(state, ledger, store, study_names)
        if view.study is not None:
            study_names[state.study] = view.study
        gathered.append(view)
    return sorted(gathered, key=_number)


def _finished_first(state: RoundState) -> bool:
    return state.result is None


def _number(view: RoundView) -> int:
    return view.round
