"""What the demonstration promises, by the plain reference of the rule: the shipped study catches its label flipper in every round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import Samples
from pipeline.datasets.pool import draw, split
from pipeline.domain import HospitalName, RoundId, Sha256
from pipeline.ingest.partition import deal
from pipeline.models import Vector
from pipeline.mpc import reference
from pipeline.mpc.engines.base import AggregateTask, RuleParameters, VerifyTask
from pipeline.secret import Secret
from pipeline.settings import PROJECT
from pipeline.study import Study
from pipeline.train.misbehaviour import BEHAVIOURS, HONEST
from pipeline.train.network import accuracy, initial_model
from pipeline.train.stage import run
from pipeline.train.undefended import Member, undefended

STUDY = Study.load(Path(PROJECT / "studies" / "breast_cancer.yaml"))
ROUNDS = [RoundId(1), RoundId(2), RoundId(3)]
ELM = HospitalName("elm")


def rounds(misbehaviour: str, installation: int) -> tuple[list[dict[HospitalName, bool]], float, float]:
    """Accept bits per round, then the final accuracy with and without verification."""
    members: dict[HospitalName, Member] = {}
    pools: dict[HospitalName, tuple[Samples, Secret]] = {}
    for index, (name, (train, test)) in enumerate(deal(STUDY, *STUDY.source.load([])).items()):
        secret, samples = Secret(bytes([installation, index]) * 16), STUDY.source.samples(train)
        rows, pool = split(samples, secret)
        act = BEHAVIOURS[misbehaviour] if name == ELM else HONEST
        members[name] = Member(samples[rows], STUDY.source.samples(test), act)
        pools[name] = (act.labelled(samples[pool], 2), secret)
    model, budget = initial_model(STUDY), None
    verdicts: dict[HospitalName, list[bool]] = {name: [] for name in members}
    for finished, round_id in enumerate(ROUNDS):
        updates = {
            name: run(
                STUDY,
                model,
                member.training,
                round_id=round_id,
                finished=finished,
                hospital=name,
                budget=budget,
                verdicts=verdicts[name],
                behaviour=member.behaviour,
            )
            for name, member in members.items()
        }
        accepted, budget = verify(model, budget, finished, round_id, updates, pools)
        for name in members:
            verdicts[name].append(accepted[name])
        kept = {name: update for name, update in updates.items() if accepted[name]}
        total, count = reference.aggregate(AggregateTask(tuple(kept), STUDY.network), kept)
        model = np.clip(model + (2 * total + count) // (2 * count), -(1 << 18), 1 << 18)
    counts = [accuracy(model, STUDY.network, member.test) for member in members.values()]
    plain = undefended(STUDY, members, ROUNDS)[-1]
    per_round = [{name: bits[index] for name, bits in verdicts.items()} for index in range(len(ROUNDS))]
    return per_round, sum(correct for correct, _ in counts) / sum(tested for _, tested in counts), plain[0] / plain[1]


def verify(
    model: Vector,
    budget: int | None,
    finished: int,
    round_id: RoundId,
    updates: dict[HospitalName, Vector],
    pools: dict[HospitalName, tuple[Samples, Secret]],
) -> tuple[dict[HospitalName, bool], int]:
    rule = STUDY.rule
    payloads = {}
    for name, update in updates.items():
        pool, secret = pools[name]
        drawn = draw(pool, rule.images_per_hospital, secret, Sha256("0" * 64), round_id, name)
        payloads[name] = np.concatenate(
            [update, drawn.inputs.reshape(-1).astype(np.int64), np.eye(2, dtype=np.int64)[drawn.labels].reshape(-1)]
        )
    below = rule.below_global_early_percent if finished < rule.early_rounds else rule.below_global_percent
    parameters = RuleParameters(rule.images_per_hospital, STUDY.source.input_range, below, rule.below_peers_percent, budget)
    bits, following = reference.verify(VerifyTask(tuple(updates), STUDY.network, parameters, model), payloads)
    return dict(zip(updates, bits, strict=True)), following


@pytest.mark.parametrize("installation", range(3))
@pytest.mark.parametrize("misbehaviour", ["label_flip", "label_flip_within_budget", "sign_flip", "free_rider", "not_a_number"])
def test_the_misbehaving_hospital_is_rejected_in_every_round_and_the_honest_four_never(misbehaviour: str, installation: int) -> None:
    verdicts, defended, plain = rounds(misbehaviour, installation)
    assert verdicts == [{name: name != ELM for name in STUDY.hospitals}] * 3
    assert defended >= STUDY.target_accuracy - 0.02
    if misbehaviour.startswith("label_flip"):
        assert defended > plain + 0.2


def test_five_honest_hospitals_are_all_accepted() -> None:
    verdicts, defended, plain = rounds("honest", 0)
    assert verdicts == [dict.fromkeys(STUDY.hospitals, True)] * 3
    assert defended >= plain - 0.03
