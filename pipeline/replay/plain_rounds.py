"""A study's rounds in plain integers, where all its records lie on one machine.

The round's own functions, without engine, chain or store.

It decides as the encrypted rule does, bit for bit; for figures and tests, never for a study's model. Nobody is ever
quarantined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.datasets import Samples
from pipeline.datasets.pool import draw, split
from pipeline.domain import HospitalName, RoundId, Sha256
from pipeline.errors import Misconfigured
from pipeline.host.secret import Secret
from pipeline.model_file import Model, Vector
from pipeline.mpc import reference, rule
from pipeline.mpc.engines.base import AggregateTask, RangeTask, VerifyTask
from pipeline.round.following import measured_model
from pipeline.round.parameters import rule_parameters
from pipeline.round.payload import length
from pipeline.study.study import Study
from pipeline.train.initial import initial_model
from pipeline.train.misbehaviour import HONEST, Behaviour
from pipeline.train.stage import everybodys

_NO_DIGEST = Sha256("0" * 64)


@dataclass(frozen=True)
class PlainMember:
    """What one hospital brings: records to train on, its private pool, the secret that draws from it, its behaviour."""

    training: Samples
    pool: Samples
    secret: Secret
    behaviour: Behaviour = HONEST

    @classmethod
    def of(cls, records: Samples, secret: Secret, behaviour: Behaviour = HONEST) -> PlainMember:
        """A hospital with these training records, a part of which becomes its pool."""
        rows, kept = split(records, secret)
        return cls(records[rows], records[kept], secret, behaviour)


@dataclass(frozen=True)
class PlainRound:
    """One round: who was accepted, and the model after it."""

    accepted: Mapping[HospitalName, bool]
    model: Vector


def scaled_plainly(study: Study, said: Mapping[HospitalName, Vector]) -> Study:
    """The study with the scale that its first round would measure, from what each hospital says of its inputs."""
    task = RangeTask(tuple(said), length(study))
    within = reference.check_range(task, said)
    kept = tuple(name for name, bit in zip(said, within, strict=True) if bit)
    total, count = reference.aggregate(AggregateTask(kept, task.size), said)
    return study.at(measured_model(study, Model(initial_model(study)), total, count))


def play_plain(
    study: Study, members: Mapping[HospitalName, PlainMember], rounds: Sequence[RoundId]
) -> list[PlainRound]:
    """The rounds one after the other, from the study's initial model; raises Misconfigured where nodes draw a seed."""
    if study.draws_seed:
        raise Misconfigured(
            f"{study.name}: got mode {study.mode} and panel {study.rule.panel}, want mode full and no panel: no nodes"
            " draw a seed in a plain round"
        )
    model = initial_model(study)
    budget = None
    finished = 0
    verdicts: dict[HospitalName, list[bool]] = {name: [] for name in members}
    past: list[PlainRound] = []
    for round_id in rounds:
        updates = everybodys(
            study, model, members, round_id=round_id, finished=finished, budget=budget, verdicts=verdicts
        )
        payloads = {name: share(study, members[name], updates[name], round_id, name) for name in members}
        task = VerifyTask(tuple(members), study.network, rule_parameters(study, finished, budget), model)
        bits, next_budget = reference.verify(task, payloads)
        accepted = dict(zip(members, bits, strict=True))
        kept = {name: update for name, update in updates.items() if accepted[name]}
        if len(kept) >= study.accepted_floor:  # else the round is aborted, and leaves no trace
            total, count = reference.aggregate(AggregateTask(tuple(kept), study.network.size), kept)
            model = rule.new_model(model, total, count)
            budget = next_budget
            finished = finished + 1
            for name, bit in accepted.items():
                verdicts[name].append(bit)
        past.append(PlainRound(accepted, model))
    return past


def share(study: Study, member: PlainMember, update: Vector, round_id: RoundId, name: HospitalName) -> Vector:
    """What the hospital would share: its update, then drawn samples and their labels."""
    classes = len(study.source.classes)
    drawn = draw(member.pool, study.rule.images_per_hospital, member.secret, _NO_DIGEST, round_id, name)
    labelled = member.behaviour.labelled(drawn, classes)
    one_hot = np.eye(classes, dtype=np.int64)[labelled.labels]
    return np.concatenate([update, labelled.inputs.astype(np.int64).ravel(), one_hot.ravel()])
