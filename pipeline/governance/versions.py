"""A study's next version under a name of its own, which goes on from a model that the study has made.

The newest one, or an earlier one, as a hospital asks that leaves and wants a model without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.audit.interfaces import ObjectStore
from pipeline.audit.round_evidence import RoundEvidence, record_of
from pipeline.audit.round_objects import RoundObjects
from pipeline.chain.ledger import Ledger, RoundState, study_id
from pipeline.domain import HospitalName, RoundId
from pipeline.errors import Refused
from pipeline.governance import proposal
from pipeline.governance.proposal import Proposal
from pipeline.round import continuation
from pipeline.site.consortium import Consortium
from pipeline.site.settings import Settings
from pipeline.study import study_diff
from pipeline.study.fields import Continues
from pipeline.study.study import Study
from pipeline.study.study_diff import Change


@dataclass(frozen=True)
class Wanted:
    """What the next version changes."""

    fields: str = ""
    """Fields as in a study's file (YAML)."""
    joining: Sequence[HospitalName] = ()
    leaving: Sequence[HospitalName] = ()


@dataclass(frozen=True)
class NextVersion:
    """A version that nobody has approved yet."""

    proposal: Proposal
    continues: Continues
    changes: Sequence[Change]
    """What its terms say otherwise than the present ones of the study that it continues, field by field."""
    within: Mapping[HospitalName, Sequence[RoundId]] = field(default_factory=dict)
    """Each hospital that leaves to the rounds that accepted it and are in the model, oldest first."""


def next_version(
    base: str,
    name: str,
    wanted: Wanted,
    settings: Settings,
    ledger: Ledger,
    store: ObjectStore,
    before: RoundId | None = None,
) -> NextVersion:
    """Study `base` under a new name, from its newest model or from the one with which the round `before` started.

    Raises Refused where there is no such model, or a hospital cannot join or leave, InvalidStudy.
    """
    study = proposal.base_study(base, settings)
    line = ledger.line(study_id(base))
    continued = _newest(base, line) if before is None else _before(base, line, before)
    continues = Continues(study=_name(study, continued, settings), round=continued.round)
    fields: dict[str, Any] = {"continues": continues.model_dump()}
    if wanted.joining or wanted.leaving:
        fields["hospitals"] = list(_hospitals(study, wanted))
    changed = proposal.fields(wanted.fields) if wanted.fields.strip() else {}
    if twice := sorted(changed.keys() & fields):
        raise Refused(f"{', '.join(twice)}: got fields that follow from what else was asked for, want others alone")
    made = proposal.propose(base, name, {**changed, **fields}, settings)
    continuation.predecessor(made.study, settings.studies)
    evidence = RoundEvidence(continued.round, ledger, store)
    continuation.require_scale(made.study, evidence.model(evidence.result.new_model))
    consortium = Consortium.load(settings.consortium)
    leaving = [hospital for hospital in study.hospitals if hospital not in made.study.hospitals]
    kept = line[: line.index(continued) + 1]
    return NextVersion(
        made,
        continues,
        study_diff.changes(study.terms(consortium), made.study.terms(consortium)),
        _accepted(kept, leaving, store),
    )


def _accepted(
    line: Sequence[RoundState], hospitals: Sequence[HospitalName], store: ObjectStore
) -> Mapping[HospitalName, Sequence[RoundId]]:
    """Each hospital to the rounds that accepted its update."""
    results = [state.result for state in line if state.result] if hospitals else []
    records = [record_of(RoundObjects(store, result.round), result) for result in results]
    return {name: tuple(record.round for record in records if name in record.accepted) for name in hospitals}


def _newest(study: str, line: Sequence[RoundState]) -> RoundState:
    for state in reversed(line):
        if state.finalised:
            return state
    raise Refused(f"study {study}: no round has ended in a model yet; an edit of its own file changes it")


def _before(study: str, line: Sequence[RoundState], round_id: RoundId) -> RoundState:
    """The round whose model the given one started from."""
    numbers = [state.round for state in line]
    if round_id not in numbers:
        raise Refused(
            f"round {round_id}: got none of study {study} or of those that it continues:"
            f" {', '.join(map(str, numbers)) or 'none yet'}"
        )
    for state in reversed(line[: numbers.index(round_id)]):
        if state.finalised:
            return state
    raise Refused(
        f"round {round_id}: it started from the model that the seed draws; a new study without `continues` does too"
    )


def _name(study: Study, state: RoundState, settings: Settings) -> str:
    """The name of a round's study: this one, or one that it continues."""
    while study_id(study.name) != state.study and study.continues is not None:
        study = Study.load(settings.studies / f"{study.continues.study}.yaml")
    return study.name


def _hospitals(study: Study, wanted: Wanted) -> tuple[HospitalName, ...]:
    for hospital in wanted.leaving:
        if hospital not in study.hospitals:
            raise Refused(f"{hospital}: got a hospital that leaves, want one of {', '.join(study.hospitals)}")
    for hospital in wanted.joining:
        if hospital in study.hospitals:
            raise Refused(f"{hospital}: got a hospital that joins, but study {study.name} names it already")
    stay = [hospital for hospital in study.hospitals if hospital not in wanted.leaving]
    return (*stay, *wanted.joining)
