"""The checks that look back, one step each: a round against those just before it. That all rounds hold follows when each one does."""

from __future__ import annotations

from collections.abc import Set

from pipeline.audit.case import Case
from pipeline.audit.record import RoundRecord
from pipeline.domain import HospitalName, RoundId, Sha256, Verdict
from pipeline.errors import EvidenceRejected


def lineage(case: Case) -> str:
    """The round starts from the model in which the one before it ended, and the next one, or the study, goes on from its own."""
    said = _start(case)
    return f"{said}; {_goes_on(case, case.result.new_model)}"


def aborted(case: Case) -> str:
    """The round started from the model in which the one before it ended, and that stayed current."""
    said = _start(case)
    return f"{said}; {_goes_on(case, case.state.opened.previous_model)}"


def strikes(case: Case) -> str:
    """Budget, strikes and quarantine follow from the record of the round before and from this round's verdicts."""
    found, before, released = case.record, case.record_before, case.released
    quarantined = set(before.quarantined) - released if before else set()
    for hospital in quarantined:
        if found.absent.get(hospital) != "quarantined":
            raise EvidenceRejected(f"round {found.round}: got a verdict on {hospital}, want it absent: it was in quarantine")
    struck = _struck(case, found, before, released)
    out = {hospital for hospital, rounds in struck.items() if len(rounds) >= found.strike_rule.strikes}
    out |= quarantined
    for what, got, want in (
        ("budget", found.budget, before.next_budget if before else None),
        ("strikes", {name: rounds for name, rounds in found.strikes.items() if rounds}, struck),
        ("quarantined", set(found.quarantined), out),
    ):
        if got != want:
            raise EvidenceRejected(f"round {found.round}: {what}: the record says {got}, the rounds before it make {want}")
    since = f"follow from round {before.round}" if before else "of a first round"
    freed = f"; released by the nodes: {', '.join(sorted(released))}" if released else ""
    return f"{since}{freed}; in quarantine: {', '.join(sorted(out)) or 'nobody'}"


def _start(case: Case) -> str:
    """Check where the round starts, and that this model is intact."""
    start = case.state.opened.previous_model
    last = case.last
    if last is not None and last.result is not None:
        want, source = last.result.new_model, f"round {last.round}"
    else:
        want, source = case.ledger.registration(case.state.study).initial_model, "the study's registration"
    if start != want:
        raise EvidenceRejected(f"round {case.round}: starts from another model than {want}, which {source} made")
    size = len(case.model(start))
    if case.state.result is not None and len(case.model(case.result.new_model)) != size:
        raise EvidenceRejected(
            f"round {case.round}: model {case.result.new_model} has another number of parameters than {start}, which it started from"
        )
    return f"starts from model {start[:16]} of {source}"


def _goes_on(case: Case, model: Sha256) -> str:
    """Check that nothing later starts from another model than the one with which this round left the study."""
    # In this order: a round that ends meanwhile must not look like a contradiction.
    current, later = case.study.current_model, case.after
    if later is None:
        if current != model:
            raise EvidenceRejected(f"study: the ledger's current model is {current}, its rounds end in {model}")
        return "its model is current"
    if later.opened.previous_model != model:
        raise EvidenceRejected(f"round {later.round}: starts from another model than {model}, with which round {case.round} left the study")
    return f"round {later.round} went on from it"


def _struck(
    case: Case, found: RoundRecord, before: RoundRecord | None, released: Set[HospitalName]
) -> dict[HospitalName, tuple[RoundId, ...]]:
    """Hospital to the rounds within the window that rejected it."""
    window = {found.round, *(state.round for state in case.ledger.before(case.state, found.strike_rule.window - 1))}
    known = {name: rounds for name, rounds in before.strikes.items() if name not in released} if before else {}
    rejected = {hospital for hospital, verdict in found.verdicts.items() if verdict is Verdict.REJECTED}
    struck = {name: {*known.get(name, ())} & window | ({found.round} if name in rejected else set()) for name in found.verdicts}
    return {name: tuple(sorted(rounds)) for name, rounds in struck.items() if rounds}
