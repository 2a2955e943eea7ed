"""The audit of one round: from the ledger's address and the store alone, every check that anybody can make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.audit import history
from pipeline.audit.checks import CHECKS, CheckStep, EvidenceT, objects
from pipeline.audit.interfaces import HistoryReader, ObjectStore
from pipeline.audit.round_evidence import HistoryEvidence, RoundEvidence
from pipeline.domain import RoundId, RoundStatus
from pipeline.errors import EvidenceRejected, WardroundError


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Check:
    """One check and what it saw, or the object that does not fit."""

    name: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True)
class AuditReport:
    """Every check of one round, in order."""

    round: RoundId
    status: RoundStatus
    checks: tuple[Check, ...]
    findings: tuple[str, ...] = ()
    """What others wrote over or beside the evidence, and who could have: it spoils nothing, and an auditor must know.
    """

    @property
    def passed(self) -> bool:
        """Whether there were checks and every one passed."""
        return bool(self.checks) and all(check.outcome is Outcome.PASSED for check in self.checks)

    @property
    def first_problem(self) -> str | None:
        """The first thing that does not fit."""
        return next((f"{check.name}: {check.detail}" for check in self.checks if check.outcome is Outcome.FAILED), None)

    def to_json(self) -> dict[str, Any]:
        """For `wardround audit --json`."""
        return {
            "round": self.round,
            "status": self.status.value,
            "passed": self.passed,
            "first_problem": self.first_problem,
            "findings": list(self.findings),
            "checks": [
                {"name": check.name, "outcome": check.outcome.value, "detail": check.detail} for check in self.checks
            ],
        }


def audit(round_id: RoundId, ledger: HistoryReader, store: ObjectStore, *, packed: bool = False) -> AuditReport:
    """Audit a round; nothing that fails is raised, all of it is in the report.

    `packed`: statements may come out of the round's pack.
    """
    evidence = HistoryEvidence(round_id, ledger, store, packed=packed)
    try:
        status = evidence.state.status
    except WardroundError as error:
        return AuditReport(round_id, RoundStatus.NONE, (Check("ledger", Outcome.FAILED, str(error)),))
    checks = run(evidence, _ABORTED if status is RoundStatus.ABORTED else CHECKS)
    return AuditReport(round_id, status, checks, evidence.findings)


def run(evidence: EvidenceT, steps: Sequence[CheckStep[EvidenceT]]) -> tuple[Check, ...]:
    """Take the steps in order; one that stands on a failed one is not taken."""
    done: dict[str, Check] = {}
    for step in steps:
        missing = [name for name in step.needs if done[name].outcome is not Outcome.PASSED]
        if missing:
            done[step.name] = Check(step.name, Outcome.NOT_CHECKED, f"stands on: {', '.join(missing)}")
            continue
        try:
            done[step.name] = Check(step.name, Outcome.PASSED, step.run(evidence))
        except WardroundError as error:
            done[step.name] = Check(step.name, Outcome.FAILED, str(error))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # Evidence is written by others: whatever its form, the audit ends with a failed check.
            detail = (
                f"round {evidence.round}: got evidence of a form that no worker writes ({type(error).__name__}:"
                f" {error})"
            )
            done[step.name] = Check(step.name, Outcome.FAILED, detail)
    return tuple(done.values())


def _aborted(evidence: RoundEvidence) -> str:
    """The round ended without a model.

    Nothing vouches for one, and no later round starts from anything that it made.
    """
    location = evidence.state.aborted.location if evidence.state.aborted else None
    if location is None or evidence.state.finalised is not None:
        raise EvidenceRejected(f"round {evidence.round}: the ledger holds both an abort and a result, want one")
    decided = evidence.state.decided
    if decided is not None and decided.signers.bit_count() < evidence.nodes.threshold:
        raise EvidenceRejected(
            f"round {evidence.round}: {decided.signers.bit_count()} nodes ended it, want {evidence.nodes.threshold}"
        )
    by = f" by {decided.signers.bit_count()} nodes ({decided.reason})" if decided else ""
    return f"aborted{by} in block {location.block}, transaction {location.transaction}; no model came of it"


_ABORTED: tuple[CheckStep[HistoryEvidence], ...] = (
    CheckStep("ledger", _aborted),
    CheckStep("lineage", history.aborted, ("ledger",)),
    CheckStep("objects", objects),
)
