"""The canonical record of a finished round.

What the nodes vote on beside the model, without clocks and without anything secret.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from pipeline.domain import (
    COORDINATE_CAP,
    Address,
    Condition,
    Context,
    HospitalName,
    NodeName,
    Result,
    RoundId,
    Sha256,
    Verdict,
)
from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import canonical_json, sha256
from pipeline.host.documents import first_problem
from pipeline.measures.subgroups import LEAST_FLOOR, Layout
from pipeline.site.consortium import Consortium
from pipeline.study.fields import Course
from pipeline.study.study import Study

_Digest = Annotated[Sha256, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Address = Annotated[Address, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
_ClassName = Annotated[str, StringConstraints(min_length=1, max_length=60)]
_Reason = Annotated[str, StringConstraints(pattern=r"^[a-z_]{2,40}$")]
_Natural = Annotated[int, Field(ge=0)]
_Positive = Annotated[int, Field(ge=1)]
_Count = Annotated[int, Field(ge=0, lt=COORDINATE_CAP)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordHospital(_Model):
    """A hospital of the study and the address that signs for it."""

    name: HospitalName
    address: _Address


class RecordNode(_Model):
    """A node of the study and the address that signs for it."""

    name: NodeName
    address: _Address


class StrikeRule(_Model):
    """How many rejections within how many rounds quarantine a hospital."""

    strikes: _Positive
    window: _Positive


class RecordGroup(_Model):
    """The patients of one group, and what they add up to in all hospitals that are counted."""

    column: str
    name: str
    counts: tuple[_Count, ...] | None
    """As `pipeline.measures.subgroups` lays out a group; None where it is withheld."""


class RecordSubgroups(_Model):
    """What was counted by groups of patients of the model that the round started from."""

    floor: Annotated[int, Field(ge=LEAST_FLOOR)]
    scored: bool
    """Whether counts have histograms of scores."""
    hospitals: tuple[HospitalName, ...]
    """Over whom totals are opened, in this round or, where one of them counts nothing, in a later one; nobody yet."""
    uncounted: tuple[HospitalName, ...]
    """Hospitals of the input set that counted nothing, since they have too few test records of a class."""
    broke: tuple[HospitalName, ...]
    """Hospitals of the input set whose counts break their bounds."""
    groups: tuple[RecordGroup, ...] | None
    """None where no totals were opened."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        groups = self.groups or ()
        if len({(group.column, group.name) for group in groups}) != len(groups):
            raise ValueError("groups: want every group of a column once")
        columns = [column for column, _ in groupby(groups, key=lambda group: group.column)]
        if len(set(columns)) != len(columns):
            raise ValueError("groups: want those of a column one after another")
        return self


class RoundRecord(_Model):
    """One finished round; its canonical JSON is stored and its SHA-256 stands on the chain."""

    round: Annotated[RoundId, Field(ge=1)]
    study: str
    study_digest: _Digest
    previous_model: _Digest
    commit_root: _Digest
    engine: str
    protocol: str
    classes: Annotated[tuple[_ClassName, ...], Field(min_length=2)]
    """In the study's order: row and column i of a confusion matrix are the i-th of these."""
    hospitals: tuple[RecordHospital, ...]
    """In the study's order: bit i of the chain's verdicts is the i-th of these."""
    nodes: tuple[RecordNode, ...]
    min_accepted: _Positive
    strike_rule: StrikeRule
    inputs: Mapping[HospitalName, _Digest]
    """Hospital to manifest: the set that was verified."""
    absent: Mapping[HospitalName, _Reason]
    verdicts: Mapping[HospitalName, Verdict]
    failed: Mapping[HospitalName, Condition]
    """Rejected hospital to the first condition that its update failed; empty where the study reveals no more than the
    verdict."""
    budget: _Natural | None
    """Largest squared norm of an update, 32 fractional bits; None in a study's first round."""
    next_budget: _Natural | None
    """None of a round that measured the inputs' scale, so that the next one trains as a first one."""
    strikes: Mapping[HospitalName, tuple[RoundId, ...]]
    """Hospital to the rounds that rejected it, of those that still count."""
    quarantined: tuple[HospitalName, ...]
    new_model: _Digest
    averaged: _Positive
    """How many updates, or figures of inputs, were averaged per coordinate."""
    programs: _Digest
    """What computed: the digest of programs and installed engine that the nodes compared when they met."""
    course: Course | None
    """When the study is done."""
    subgroups: RecordSubgroups | None
    """None where the study has none, and of a round that measured the inputs' scale."""
    panel: _Positive | None
    """On how many hospitals' samples the study has each model tried, drawn by the seed; None: on all.

    Where no more than so many take part all try every model; a round that measures inputs tries none."""
    seed: _Digest | None
    """What a large model's random projections and each model's panel came from; None where there is neither."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [hospital.name for hospital in self.hospitals]
        for what, members in (("hospitals", self.hospitals), ("nodes", self.nodes)):
            if len({member.name for member in members}) != len(members) or len(
                {member.address for member in members}
            ) != len(members):
                raise ValueError(f"{what}: want every name and address once")
        absent = {name for name in names if self.verdicts.get(name) is Verdict.ABSENT}
        if set(self.verdicts) != set(names):
            raise ValueError(f"verdicts: got {sorted(self.verdicts)}, want one for each of {names}")
        if set(self.absent) != absent or set(self.inputs) != set(names) - absent:
            raise ValueError("inputs, absent: want every hospital in exactly one of them, as its verdict says")
        if self.failed and set(self.failed) != {name for name in names if self.verdicts[name] is Verdict.REJECTED}:
            raise ValueError("failed: want none, or a condition for each rejected hospital and no other")
        if self.subgroups:
            self._require_counts(self.subgroups)
        if not set(self.quarantined) <= set(names) or not set(self.strikes) <= set(names):
            raise ValueError("quarantined, strikes: want hospitals of the study only")
        if len(self.accepted) < self.min_accepted:
            raise ValueError(
                f"verdicts: got {len(self.accepted)} accepted hospitals, want at least {self.min_accepted}"
            )
        if self.panel is not None and self.seed is None and not self.measures_scale:
            raise ValueError("seed: got none, want one: each model has a panel, which it draws")
        if self.averaged > len(self.accepted):
            raise ValueError(f"averaged: got {self.averaged}, want at most the {len(self.accepted)} accepted hospitals")
        return self

    def _require_counts(self, counted: RecordSubgroups) -> None:
        """Raise ValueError where who is counted is none of the round, or a group has another number of counts."""
        if not set(counted.broke) | set(counted.uncounted) <= set(self.inputs):
            raise ValueError("subgroups.broke, uncounted: want hospitals of the input set only")
        words = Layout(self.classes, counted.scored, (1,)).words
        if any(group.counts is not None and len(group.counts) != words for group in counted.groups or ()):
            raise ValueError(f"subgroups.groups: want {words} counts of each group that is told")

    @property
    def measures_scale(self) -> bool:
        """Whether the round measured the scale of the study's inputs, and trained nothing."""
        return self.next_budget is None

    @property
    def accepted(self) -> tuple[HospitalName, ...]:
        """Accepted hospitals, in the study's order."""
        return tuple(hospital.name for hospital in self.hospitals if self.verdicts[hospital.name] is Verdict.ACCEPTED)

    @property
    def verdict_bits(self) -> int:
        """The verdicts as the chain holds them."""
        return sum(
            1 << bit for bit, hospital in enumerate(self.hospitals) if self.verdicts[hospital.name] is Verdict.ACCEPTED
        )

    @property
    def result(self) -> Result:
        """What a node that agrees with this record votes for."""
        return Result(
            round=self.round,
            study_digest=self.study_digest,
            commit_root=self.commit_root,
            verdicts=self.verdict_bits,
            previous_model=self.previous_model,
            new_model=self.new_model,
            record=self.digest,
        )

    @property
    def digest(self) -> Sha256:
        """SHA-256 of the canonical bytes."""
        return sha256(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The canonical JSON that is stored."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse stored bytes; raises EvidenceRejected on anything but the canonical form of a consistent record."""
        try:
            record = cls.model_validate_json(data, strict=True)
        except ValidationError as error:
            raise EvidenceRejected(f"round record: {first_problem(error, 'record')}") from error
        if record.to_bytes() != data:
            raise EvidenceRejected(
                f"round record of {len(data)} bytes: got JSON that is not canonical, want sorted compact JSON"
            )
        return record


def build(
    study: Study,
    consortium: Consortium,
    context: Context,
    *,
    commit_root: Sha256,
    inputs: Mapping[HospitalName, Sha256],
    absent: Mapping[HospitalName, str],
    failed: Mapping[HospitalName, Condition],
    accepted: Collection[HospitalName],
    budget: int | None,
    next_budget: int | None,
    strikes: Mapping[HospitalName, Sequence[RoundId]],
    quarantined: Collection[HospitalName],
    new_model: Sha256,
    averaged: int,
    programs: Sha256,
    subgroups: RecordSubgroups | None = None,
    seed: Sha256 | None = None,
) -> RoundRecord:
    """The record of one round; every node arrives at the same bytes.

    Raises EvidenceRejected when the parts contradict one another.
    """
    stray = sorted(set(accepted) - set(inputs))
    if stray:
        raise EvidenceRejected(f"round record: accepted: got {', '.join(stray)}, want hospitals of the input set only")
    verdicts = {name: Verdict.ACCEPTED if name in accepted else Verdict.REJECTED for name in inputs} | dict.fromkeys(
        absent, Verdict.ABSENT
    )
    try:
        return RoundRecord(
            round=context.round,
            study=study.name,
            study_digest=context.study_digest,
            previous_model=context.previous_model,
            commit_root=commit_root,
            engine=study.engine,
            protocol=study.protocol,
            classes=study.source.classes,
            hospitals=tuple(RecordHospital(name=name, address=consortium.hospital(name)) for name in study.hospitals),
            nodes=tuple(RecordNode(name=name, address=Address(consortium.node(name).address)) for name in study.nodes),
            min_accepted=study.accepted_floor,
            strike_rule=StrikeRule(strikes=study.rule.strikes, window=study.rule.strike_window),
            inputs=dict(inputs),
            absent=dict(absent),
            verdicts=verdicts,
            failed=dict(failed),
            budget=budget,
            next_budget=next_budget,
            strikes={name: tuple(rounds) for name, rounds in strikes.items()},
            quarantined=tuple(name for name in study.hospitals if name in quarantined),
            new_model=new_model,
            averaged=averaged,
            programs=programs,
            course=study.course,
            subgroups=subgroups,
            panel=study.rule.panel,
            seed=seed,
        )
    except ValidationError as error:
        raise EvidenceRejected(f"round record: {first_problem(error, 'record')}") from error
