"""The checks that look back, one step each: a round against those just before it.

That all rounds hold follows when each one does.
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from pipeline.audit.round_evidence import HistoryEvidence
from pipeline.audit.round_record import RoundRecord
from pipeline.domain import HospitalName, RoundId, Sha256, Verdict
from pipeline.errors import EvidenceRejected
from pipeline.ledger_types.state import RoundState


def lineage(evidence: HistoryEvidence) -> str:
    """The round starts from the model in which the one before it ended.

    The next round, or the study while there is none, goes on from the model of this one.
    """
    said = _start(evidence)
    return f"{said}; {_goes_on(evidence, evidence.result.new_model)}"


def aborted(evidence: HistoryEvidence) -> str:
    """The round started from the model in which the one before it ended, and that stayed current."""
    said = _start(evidence)
    return f"{said}; {_goes_on(evidence, evidence.state.opened.previous_model)}"


def input_scale(evidence: HistoryEvidence) -> str:
    """A round that measured the inputs' scale changed nothing else, and every other one kept the scale."""
    before = evidence.model(evidence.result.previous_model)
    after = evidence.model(evidence.result.new_model)
    if not evidence.record.measures_scale:
        if after.scale != before.scale:
            raise EvidenceRejected(
                f"round {evidence.round}: its model has another scale than the one that it started from, want the same:"
                " a scale is measured once"
            )
        return "none in the model: the study gives it" if after.scale is None else "kept as it was measured"
    if before.scale is not None or after.scale is None or not np.array_equal(before.parameters, after.parameters):
        raise EvidenceRejected(
            f"round {evidence.round}: its record says that it measured the inputs' scale; want one in its model, none"
            " in that before, and the same parameters"
        )
    return f"measured of {len(after.scale.means)} inputs, {evidence.record.averaged} hospitals in the middle of each"


def strikes(evidence: HistoryEvidence) -> str:
    """Budget, strikes and quarantine follow from what was before and from this round.

    Before: the record of the round before, and what the nodes decided since. This round: its verdicts.
    """
    record = evidence.record
    before = evidence.record_before
    struck, quarantined, freed = _carried(evidence)
    for hospital in quarantined:
        if record.absent.get(hospital) != "quarantined":
            raise EvidenceRejected(
                f"round {record.round}: got a verdict on {hospital}, want it absent: it was in quarantine"
            )
    rejected = {hospital for hospital, verdict in record.verdicts.items() if verdict is Verdict.REJECTED}
    struck = _struck(evidence, evidence.state, struck, rejected)
    out = quarantined | _out(record, struck)
    for what, got, want in (
        ("budget", record.budget, before.next_budget if before else None),
        ("strikes", {name: set(rounds) for name, rounds in record.strikes.items() if rounds}, struck),
        ("quarantined", set(record.quarantined), out),
    ):
        if got != want:
            raise EvidenceRejected(
                f"round {record.round}: {what}: the record says {got}, the rounds before it make {want}"
            )
    since = f"follow from round {before.round}" if before else "of a first round"
    released = f"; released by the nodes: {', '.join(sorted(freed))}" if freed else ""
    return f"{since}{released}; in quarantine: {', '.join(sorted(out)) or 'nobody'}"


def _start(evidence: HistoryEvidence) -> str:
    """Check where the round starts, and that this model is intact."""
    start = evidence.state.opened.previous_model
    last = evidence.last
    if last is not None and last.result is not None:
        want = last.result.new_model
        source = f"round {last.round}"
        if last.study != evidence.state.study:
            source += _continued(evidence, last)
    else:
        want = evidence.ledger.registration(evidence.state.study).initial_model
        source = "the study's registration"
    if start != want:
        raise EvidenceRejected(f"round {evidence.round}: starts from another model than {want}, which {source} made")
    size = len(evidence.model(start).parameters)
    if evidence.state.result is not None and len(evidence.model(evidence.result.new_model).parameters) != size:
        raise EvidenceRejected(
            f"round {evidence.round}: model {evidence.result.new_model} has another number of parameters than {start},"
            " which it started from"
        )
    return f"starts from model {start[:16]} of {source}"


def _continued(evidence: HistoryEvidence, last: RoundState) -> str:
    """Check that the study continues this very round of another one, and was registered with the model of it."""
    continued = evidence.ledger.parent_round(evidence.state.study)
    if last.round != continued:
        raise EvidenceRejected(
            f"round {evidence.round}: its study continues round {continued}, which ended without a model, want a"
            " finalised one"
        )
    registered = evidence.ledger.registration(evidence.state.study).initial_model
    if last.result is None or registered != last.result.new_model:
        raise EvidenceRejected(
            f"round {evidence.round}: its study continues round {last.round}, but was registered with another model,"
            f" {registered}"
        )
    return " of another study, which this one continues"


def _goes_on(evidence: HistoryEvidence, model: Sha256) -> str:
    """Check that nothing later starts from another model than the one with which this round left the study."""
    # In this order: a round that ends meanwhile must not look like a contradiction.
    current = evidence.study.current_model
    later = evidence.after
    if later is None:
        if current != model:
            raise EvidenceRejected(f"study: the ledger's current model is {current}, its rounds end in {model}")
        return "its model is current"
    if later.opened.previous_model != model:
        raise EvidenceRejected(
            f"round {later.round}: starts from another model than {model}, with which round {evidence.round} left the"
            " study"
        )
    return f"round {later.round} went on from it"


Struck = dict[HospitalName, set[RoundId]]
"""Hospital to the rounds that count against it."""


def _carried(evidence: HistoryEvidence) -> tuple[Struck, set[HospitalName], set[HospitalName]]:
    """Strikes and quarantine when the round was opened, and whom the nodes released since the record before."""
    record = evidence.record
    before = evidence.record_before
    # Who is no hospital of the study any more has neither strikes nor quarantine.
    struck: Struck = {
        name: set(rounds) for name, rounds in (before.strikes if before else {}).items() if name in record.verdicts
    }
    out = set(before.quarantined if before else ()) & set(record.verdicts)
    freed = set[HospitalName]()
    seen = 0
    blaming = [state for state in evidence.ledger.judged(evidence.state, 0) if state.decided]
    if not out and not blaming:
        return struck, out, freed
    for state in (*blaming, evidence.state):
        released = evidence.ledger.released(state.study, evidence.last, state.opened.location.block)
        held = {member.name for member in record.hospitals if member.address in released[seen:]} & out
        out = out - held
        freed = freed | held
        seen = len(released)
        struck = {name: rounds for name, rounds in struck.items() if name not in held}
        if state.decided:
            accounts = {evidence.ledger.first_account(account) for account in state.decided.blamed}
            blamed = {
                member.name for member in record.hospitals if evidence.ledger.first_account(member.address) in accounts
            }
            struck = _struck(evidence, state, struck, blamed)
            out |= _out(record, struck)
    return struck, out, freed


def _struck(evidence: HistoryEvidence, state: RoundState, struck: Struck, hospitals: Set[HospitalName]) -> Struck:
    """Strikes within the window after a round that strikes `hospitals`."""
    earlier = evidence.record.strike_rule.window - 1
    judged = [one.round for one in evidence.ledger.judged(state, earlier)]
    window = {state.round, *judged[len(judged) - min(earlier, len(judged)) :]}
    counted = {
        name: struck.get(name, set()) & window | ({state.round} if name in hospitals else set())
        for name in {*struck, *hospitals}
    }
    return {name: rounds for name, rounds in counted.items() if rounds and name in evidence.record.verdicts}


def _out(record: RoundRecord, struck: Struck) -> set[HospitalName]:
    return {hospital for hospital, rounds in struck.items() if len(rounds) >= record.strike_rule.strikes}
