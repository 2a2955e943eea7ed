"""The checks that look back: a round against all finished rounds of its study before it."""

from __future__ import annotations

from pipeline.audit.case import Case, record_of
from pipeline.audit.record import RoundRecord
from pipeline.audit.shelf import Shelf
from pipeline.domain import HospitalName, RoundId, Verdict
from pipeline.errors import EvidenceRejected


def lineage(case: Case) -> str:
    """From the study's initial model every finalised round starts where the one before it ended, and every model is intact."""
    return walk(case, up_to=case.round)


def strikes(case: Case) -> str:
    """Budget, strikes and quarantine follow from the records of all rounds before."""
    struck: dict[HospitalName, tuple[RoundId, ...]] = {}
    out: set[HospitalName] = set()
    budget: int | None = None
    done: list[RoundId] = []
    for found in _records(case):
        window = {found.round, *done[len(done) - min(found.strike_rule.window - 1, len(done)) :]}
        for hospital in out:
            if found.absent.get(hospital) != "quarantined":
                raise EvidenceRejected(f"round {found.round}: got a verdict on {hospital}, want it absent: it was in quarantine")
        struck = {
            hospital: kept
            for hospital in found.verdicts
            if (kept := tuple(sorted(_strikes_left(struck.get(hospital, ()), window) | _struck(found, hospital))))
        }
        out |= {hospital for hospital, rounds in struck.items() if len(rounds) >= found.strike_rule.strikes}
        for what, got, want in (
            ("budget", found.budget, budget),
            ("strikes", {name: rounds for name, rounds in found.strikes.items() if rounds}, struck),
            ("quarantined", set(found.quarantined), out),
        ):
            if got != want:
                raise EvidenceRejected(f"round {found.round}: {what}: the record says {got}, the rounds before it make {want}")
        budget = found.next_budget
        done.append(found.round)
    return f"recomputed over {len(done)} finished round{'' if len(done) == 1 else 's'}; in quarantine: {', '.join(sorted(out)) or 'nobody'}"


def walk(case: Case, up_to: RoundId | None) -> str:
    """Follow the study's models from its initial one to round `up_to`, or to where its current model was made."""
    current = case.ledger.registration(case.state.study).initial_model
    size = len(case.model(current))
    steps = 0
    for state in case.finished:
        if state.result is None or state.result.previous_model != current:
            raise EvidenceRejected(f"round {state.round}: starts from another model than {current}, which the round before it made")
        current = state.result.new_model
        if len(case.model(current)) != size:
            raise EvidenceRejected(f"round {state.round}: model {current} has another number of parameters than the initial model")
        steps += 1
        if state.round == up_to:
            break
    else:
        if current != case.study.current_model:
            raise EvidenceRejected(f"study: the ledger's current model is {case.study.current_model}, its rounds end in {current}")
    return f"{steps} finished round{'' if steps == 1 else 's'} back to the initial model, every model intact"


def _records(case: Case) -> list[RoundRecord]:
    found: list[RoundRecord] = []
    for state in case.finished:
        if state.result is not None:
            mine = state.round == case.round
            found.append(case.record if mine else record_of(Shelf(case.store, state.round), state.result))
            if mine:
                break
    return found


def _strikes_left(rounds: tuple[RoundId, ...], window: set[RoundId]) -> set[RoundId]:
    return set(rounds) & window


def _struck(found: RoundRecord, hospital: HospitalName) -> set[RoundId]:
    return {found.round} if found.verdicts[hospital] is Verdict.REJECTED else set()
