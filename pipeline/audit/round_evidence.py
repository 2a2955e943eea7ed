"""What one audit looks at.

A round's state on the ledger and its evidence in the store, each part read when a check first needs it.
"""

from __future__ import annotations

from functools import cached_property

from pipeline.audit.interfaces import HistoryReader, ObjectStore, RoundReader
from pipeline.audit.round_objects import RoundObjects, naming, written_over
from pipeline.audit.round_record import RoundRecord
from pipeline.domain import Address, Context, HospitalName, Kind, Result, RoundId, RoundStatus, Sha256, Statement
from pipeline.errors import EvidenceRejected, WardroundError
from pipeline.evidence import merkle
from pipeline.ledger_types.events import FinalisedEvent
from pipeline.ledger_types.state import Members, RoundState, StudyState
from pipeline.model_file import Model, read_model
from pipeline.store import object_keys


class RoundEvidence:
    """One round under audit; every part raises a WardroundError naming what does not fit."""

    def __init__(self, round_id: RoundId, ledger: RoundReader, store: ObjectStore, *, packed: bool = False) -> None:
        self.round = round_id
        self.ledger = ledger
        self.store = store
        self._packed = packed
        self._models: dict[Sha256, Model] = {}

    @cached_property
    def state(self) -> RoundState:
        """The round on the ledger."""
        return self.ledger.round(self.round)

    @cached_property
    def nodes(self) -> Members:
        """The nodes that decided about the round, which need not be the study's present ones."""
        return self.ledger.nodes(self.state)

    @property
    def finalised(self) -> FinalisedEvent:
        """How the round ended; raises EvidenceRejected when it did not."""
        if self.state.finalised is None:
            raise EvidenceRejected(
                f"round {self.round}: the ledger says {self.state.status}, want {RoundStatus.FINALISED}"
            )
        return self.state.finalised

    @property
    def result(self) -> Result:
        """What the majority signed, as the ledger holds it."""
        if self.state.result is None:
            raise EvidenceRejected(
                f"round {self.round}: the ledger says {self.state.status}, want {RoundStatus.FINALISED}"
            )
        return self.state.result

    @property
    def context(self) -> Context:
        """What every statement of the round is bound to."""
        opened = self.state.opened
        return Context(
            self.ledger.chain_id, self.ledger.contract, opened.study_digest, self.round, opened.previous_model
        )

    @cached_property
    def objects(self) -> RoundObjects:
        """The round's objects."""
        return RoundObjects(self.store, self.round, packed=self._packed)

    @property
    def findings(self) -> tuple[str, ...]:
        """What an auditor must learn although it spoils nothing, in the order of the objects' names."""
        try:
            return tuple(self.objects.findings[name] for name in sorted(self.objects.findings))
        except WardroundError:
            return ()  # no check could read the store either

    @cached_property
    def record(self) -> RoundRecord:
        """The canonical record that the ledger anchors."""
        return record_of(self.objects, self.result)

    @cached_property
    def commit_list(self) -> dict[HospitalName, Sha256]:
        """Hospital to manifest, the set under the ledger's commit root."""
        key_prefix = object_keys.commit(self.round)
        root = self.result.commit_root
        problems = []
        for digest in self.objects.digests(key_prefix):
            try:
                with naming(key_prefix, digest):
                    listed = {
                        HospitalName(name): Sha256(value)
                        for name, value in self.objects.json(key_prefix, digest).items()
                    }
                    if merkle.root(tuple(dict.fromkeys(listed.values()))) == root:
                        return listed
            except (EvidenceRejected, ValueError, TypeError) as error:
                problems.append(error)
        for problem in problems:
            raise EvidenceRejected(str(problem)) from problem
        raise EvidenceRejected(
            f"{key_prefix.bucket}/{key_prefix.prefix}: got no list of manifests under the ledger's commit root"
            f" {root[:16]}"
        )

    @cached_property
    def manifests(self) -> dict[HospitalName, Statement]:
        """The signed manifest of every hospital of the input set."""
        return {name: self._manifest(name, digest) for name, digest in self.record.inputs.items()}

    def address(self, hospital: HospitalName) -> Address:
        """A hospital's signing address, by the anchored record."""
        return next(member.address for member in self.record.hospitals if member.name == hospital)

    def model(self, digest: Sha256) -> Model:
        """A stored model, read once; raises EvidenceRejected or ObjectMissing naming the object."""
        if digest not in self._models:
            self._models[digest] = self._read(digest)
        return self._models[digest]

    def _read(self, digest: Sha256) -> Model:
        key_prefix = object_keys.model()
        key = key_prefix.key(digest)
        if finding := written_over(key_prefix.bucket, key, self.store.history(key_prefix.bucket, key)):
            self.objects.findings[f"{key_prefix.bucket}/{key}"] = finding
        data = self.store.get(key_prefix.bucket, key, digest)
        with naming(key_prefix, digest):
            return read_model(data)

    def _manifest(self, hospital: HospitalName, digest: Sha256) -> Statement:
        return self.objects.statement(Kind.MANIFEST, hospital, self.address(hospital), self.context, digest)


class HistoryEvidence(RoundEvidence):
    """One round under audit, among the rounds of its study."""

    ledger: HistoryReader

    def __init__(self, round_id: RoundId, ledger: HistoryReader, store: ObjectStore, *, packed: bool = False) -> None:
        super().__init__(round_id, ledger, store, packed=packed)

    @cached_property
    def study(self) -> StudyState:
        """The study on the ledger."""
        return self.ledger.study(self.state.study)

    @cached_property
    def nodes(self) -> Members:
        """The nodes that decided about the round: the study's, where it has had no others."""
        return self.study.members if self.study.epoch == 1 else self.ledger.nodes(self.state)

    @cached_property
    def last(self) -> RoundState | None:
        """The study's round that was finalised last before this one was opened."""
        return next(iter(self.ledger.before(self.state, 1)), None)

    @cached_property
    def after(self) -> RoundState | None:
        """The study's round that was opened next."""
        return self.ledger.after(self.state)

    @cached_property
    def record_before(self) -> RoundRecord | None:
        """The canonical record of the round before; None for a study's first finalised round."""
        if self.last is None or self.last.result is None:
            return None
        return record_of(RoundObjects(self.store, self.last.round), self.last.result)


def record_of(objects: RoundObjects, result: Result) -> RoundRecord:
    """The stored record of a result.

    Raises EvidenceRejected or ObjectMissing naming it unless it says what the ledger says.
    """
    key_prefix = object_keys.record(result.round)
    with naming(key_prefix, result.record):
        record = RoundRecord.from_bytes(objects.read(key_prefix, result.record))
        for field in ("round", "study_digest", "commit_root", "previous_model", "new_model", "verdicts"):
            got = getattr(record.result, field)
            want = getattr(result, field)
            if got != want:
                raise EvidenceRejected(f"{field}: got {got}, the ledger says {want}")
    return record
