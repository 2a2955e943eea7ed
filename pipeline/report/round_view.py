"""What can be said in public about one round, gathered from ledger and store for reports, lists and console."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.audit.confirmation import counted
from pipeline.audit.ends import End
from pipeline.audit.ends import end as end_of
from pipeline.audit.interfaces import HistoryReader, ObjectStore, RoundReader
from pipeline.audit.round_evidence import RoundEvidence, record_of
from pipeline.audit.round_objects import RoundObjects
from pipeline.audit.round_record import RoundRecord
from pipeline.domain import Address, Context, HospitalName, Kind, RoundId, RoundStatus, Sha256, Verdict
from pipeline.errors import EvidenceRejected
from pipeline.ledger_types.state import Members, RoundState
from pipeline.measures import confusion, scores
from pipeline.measures.confusion import Confusion
from pipeline.measures.estimates import Measures, measures
from pipeline.measures.scores import Scores
from pipeline.measures.table import Told
from pipeline.report import subgroups
from pipeline.report.stage_timings import stage_seconds
from pipeline.report.subgroups import SubgroupsView
from pipeline.study.course import because

_MOST_EXPECTATIONS = 50
_LONGEST_WORD = 200


@dataclass(frozen=True)
class HospitalRow:
    """One hospital's part in a round; None where it said nothing that holds."""

    name: HospitalName
    verdict: Verdict
    reason: str | None
    """Why it is absent."""
    rows: str | None
    """Coarse number of its records."""
    dataset_version: str | None
    validated: bool | None
    failed: tuple[str, ...]
    """Expectations that its records failed."""
    correct: int | None
    tested: int | None
    confusion: Confusion | None
    """Of its test records, where it told one."""
    scores: Scores | None
    """Beside the matrix, where it told them."""

    @property
    def measures(self) -> Measures | None:
        """What the new model is worth on the hospital's own test records."""
        return None if self.confusion is None else measures(self.confusion, self.scores)

    @property
    def accuracy(self) -> float | None:
        """Share of the hospital's own test records that the new model gets right."""
        return None if not self.tested or self.correct is None else self.correct / self.tested


@dataclass(frozen=True)
class RoundView:
    """One round; what needs the record is None or empty until the round is finalised."""

    round: RoundId
    study: str | None
    status: RoundStatus
    record: RoundRecord | None
    hospitals: tuple[HospitalRow, ...]
    signers: tuple[str, ...]
    nodes: int
    threshold: int
    study_digest: Sha256
    previous_model: Sha256
    model: Sha256 | None
    tx: str | None
    block: int | None
    time: int | None
    """Block time of the round's end, seconds since the epoch."""
    chain_id: int
    contract: Address
    development: bool
    seconds: Mapping[str, float]
    """Stage to the wall seconds of its slowest actor."""
    end: End | None
    """Why there is no model; None unless the round was aborted."""
    concluded: str | None = None
    """The reason for which the study was concluded with this round's model, as the ledger spells it."""
    trouble: str | None = None
    """What of the round's evidence does not hold, where it has ended and its record cannot be read."""

    @property
    def correct(self) -> int:
        """Test records that the new model gets right, over the hospitals that confirmed it."""
        return sum(row.correct or 0 for row in self.hospitals)

    @property
    def tested(self) -> int:
        """Test records of the hospitals that confirmed the new model."""
        return sum(row.tested or 0 for row in self.hospitals)

    @property
    def accuracy(self) -> float | None:
        """Share of all hospitals' test records that the new model gets right."""
        return self.correct / self.tested if self.tested else None

    @property
    def measures(self) -> Measures | None:
        """What the new model is worth on the test records of the hospitals that told their confusion matrix."""
        matrix = confusion.pooled(row.confusion for row in self.hospitals)
        if matrix is None:
            return None
        return measures(matrix, scores.pooled((row.scores for row in self.hospitals), matrix.classes))

    @property
    def subgroups(self) -> SubgroupsView | None:
        """By groups of patients, of the model that the round started from; None where the study counts none."""
        return subgroups.view(self.record) if self.record else None

    @property
    def conclusion(self) -> str | None:
        """Why the study was concluded with this round, in words; None where it was not."""
        if self.concluded is None:
            return None
        if self.record is None or self.record.course is None:
            return f"its nodes gave the reason {self.concluded}"
        return because(self.record.course, self.concluded)

    @property
    def measured_scale(self) -> bool:
        """Whether the round measured the scale of the inputs and trained nothing."""
        return self.record is not None and self.record.measures_scale

    def counted(self, verdict: Verdict) -> int:
        """How many hospitals have this verdict."""
        return sum(row.verdict is verdict for row in self.hospitals)

    def to_json(self) -> dict[str, Any]:
        """For `wardround show --json`: the entry of `wardround rounds --json` and everything beneath it."""
        record = self.record
        return {
            "round": self.round,
            "study": self.study,
            "status": self.status.value,
            "engine": record.engine if record else None,
            "protocol": record.protocol if record else None,
            "verdicts": {row.name: row.verdict.value for row in self.hospitals},
            "model_sha256": self.model,
            "tx": self.tx,
            "seconds": dict(self.seconds),
            "accuracy": self.accuracy,
            "concluded": self.concluded,
            "trouble": self.trouble,
            "correct": self.correct,
            "tested": self.tested,
            "measures": _measured(self.measures),
            "subgroups": self.subgroups.to_json() if self.subgroups else None,
            "block": self.block,
            "time": self.time,
            "chain": {"id": self.chain_id, "contract": self.contract, "development": self.development},
            "previous_model": self.previous_model,
            "study_digest": self.study_digest,
            "signers": list(self.signers),
            "nodes": self.nodes,
            "threshold": self.threshold,
            "commit_root": record.commit_root if record else None,
            "record_sha256": record.digest if record else None,
            "averaged": record.averaged if record else None,
            "measured_scale": self.measured_scale,
            "programs_sha256": record.programs if record else None,
            "strikes": {name: list(rounds) for name, rounds in record.strikes.items()} if record else {},
            "quarantined": list(record.quarantined) if record else [],
            "end": self.end.to_json() if self.end else None,
            "conclusion": self.conclusion,
            "hospitals": [
                {
                    "name": row.name,
                    "verdict": row.verdict.value,
                    "reason": row.reason,
                    "rows": row.rows,
                    "dataset_version": row.dataset_version,
                    "validated": row.validated,
                    "failed": list(row.failed),
                    "correct": row.correct,
                    "tested": row.tested,
                    "accuracy": row.accuracy,
                    "confusion": row.confusion.to_json() if row.confusion else None,
                    "scores": row.scores.to_json() if row.scores else None,
                    "measures": _measured(row.measures),
                }
                for row in self.hospitals
            ],
        }


def gather(
    state: RoundState, ledger: HistoryReader, store: ObjectStore, names: Mapping[str, str] | None = None
) -> RoundView:
    """The view of a round; `names` gives studies by their ledger id.

    Raises EvidenceRejected when the record does not hold.
    """
    objects = RoundObjects(store, state.round)
    record = record_of(objects, state.result) if state.result else None
    nodes = _nodes(state, ledger)
    return _view(state, ledger, nodes, ledger.development, store, objects, record, names or {}, None)


def gather_proven(evidence: RoundEvidence, development: bool) -> RoundView:
    """The view of a finished round by its proof bundle, which knows no other round.

    Raises EvidenceRejected when the record does not hold.
    """
    state, ledger, objects = evidence.state, evidence.ledger, evidence.objects
    return _view(state, ledger, evidence.nodes, development, evidence.store, objects, evidence.record, {}, None)


def gather_anyway(state: RoundState, ledger: HistoryReader, store: ObjectStore, names: Mapping[str, str]) -> RoundView:
    """The view of a round; where its record does not hold, only of what the ledger says.

    `trouble` then names the object that does not hold.
    """
    try:
        return gather(state, ledger, store, names)
    except EvidenceRejected as error:
        objects = RoundObjects(store, state.round)
        nodes = _nodes(state, ledger)
        return _view(state, ledger, nodes, ledger.development, store, objects, None, names, str(error))


def _nodes(state: RoundState, ledger: HistoryReader) -> Members:
    study = ledger.study(state.study)
    return study.members if study.epoch == 1 else ledger.nodes(state)


def _view(
    state: RoundState,
    ledger: RoundReader,
    nodes: Members,
    development: bool,
    store: ObjectStore,
    objects: RoundObjects,
    record: RoundRecord | None,
    names: Mapping[str, str],
    trouble: str | None,
) -> RoundView:
    end = state.finalised or state.aborted
    return RoundView(
        round=state.round,
        study=record.study if record else names.get(state.study),
        status=state.status,
        record=record,
        hospitals=_rows(record, objects, ledger, state) if record else (),
        signers=tuple(node.name for index, node in enumerate(record.nodes) if _signed(state, index)) if record else (),
        nodes=len(nodes.nodes),
        threshold=nodes.threshold,
        study_digest=state.opened.study_digest,
        previous_model=state.opened.previous_model,
        model=state.result.new_model if state.result else None,
        tx=end.location.transaction if end else None,
        block=end.location.block if end else None,
        time=end.location.time if end else None,
        chain_id=ledger.chain_id,
        contract=ledger.contract,
        development=development,
        seconds=stage_seconds(objects, store, state.round),
        concluded=state.concluded.reason if state.concluded else None,
        end=end_of(state, nodes.nodes, objects, _context(ledger, state)),
        trouble=trouble,
    )


def said_so_far(view: RoundView, hospital: HospitalName, address: Address, store: ObjectStore) -> HospitalRow:
    """What a hospital published in a round that has no record; the verdict is none yet, and stands as absent."""
    context = Context(view.chain_id, view.contract, view.study_digest, view.round, view.previous_model)
    return _row(RoundObjects(store, view.round), hospital, address, context, Verdict.ABSENT, None, None)


def _context(ledger: RoundReader, state: RoundState) -> Context:
    return Context(
        ledger.chain_id, ledger.contract, state.opened.study_digest, state.round, state.opened.previous_model
    )


def _rows(
    record: RoundRecord, objects: RoundObjects, ledger: RoundReader, state: RoundState
) -> tuple[HospitalRow, ...]:
    context = _context(ledger, state)
    return tuple(
        _row(
            objects,
            member.name,
            member.address,
            context,
            record.verdicts[member.name],
            record.absent.get(member.name) or record.failed.get(member.name),
            record,
        )
        for member in record.hospitals
    )


def _row(
    objects: RoundObjects,
    name: HospitalName,
    address: Address,
    context: Context,
    verdict: Verdict,
    reason: str | None,
    record: RoundRecord | None,
) -> HospitalRow:
    validation = _said(objects, Kind.VALIDATION, name, address, context)
    told = _told(_said(objects, Kind.CONFIRMATION, name, address, context), record) if record else None
    passed = validation.get("passed")
    return HospitalRow(
        name=name,
        verdict=verdict,
        reason=reason,
        rows=_word(validation.get("rows")),
        dataset_version=_word(validation.get("dataset_version")),
        validated=passed if isinstance(passed, bool) else None,
        failed=_failed(validation.get("expectations")),
        correct=told.correct if told else None,
        tested=told.tested if told else None,
        confusion=told.confusion if told else None,
        scores=told.scores if told else None,
    )


def _measured(of_matrix: Measures | None) -> dict[str, Any] | None:
    return None if of_matrix is None else of_matrix.to_json()


# A hospital signs what it likes: what it said enters a report only in the form that a report expects.


def _told(confirmation: Mapping[str, Any], record: RoundRecord) -> Told | None:
    try:
        return counted(confirmation, record)
    except EvidenceRejected:
        return None


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST_WORD else None


def _failed(expectations: object) -> tuple[str, ...]:
    if not isinstance(expectations, dict):
        return ()
    return tuple(name for name, held in expectations.items() if held is not True and _word(name))[:_MOST_EXPECTATIONS]


def _said(
    objects: RoundObjects, kind: Kind, hospital: HospitalName, address: Address, context: Context
) -> Mapping[str, Any]:
    """The body of a hospital's statement, or nothing where none holds: an audit says why."""
    try:
        return objects.statement(kind, hospital, address, context).body
    except EvidenceRejected:
        return {}


def _signed(state: RoundState, index: int) -> bool:
    return state.finalised is not None and bool(state.finalised.signers >> index & 1)
