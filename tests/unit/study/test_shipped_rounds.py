"""What the demonstration promises, by the plain reference of the rule.

The shipped study catches its label flipper in every round.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from pipeline.domain import HospitalName, RoundId
from pipeline.host.secret import Secret
from pipeline.replay.plain_rounds import PlainMember, play_plain
from pipeline.setup.partition import deal
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study
from pipeline.train.misbehaviour import BEHAVIOURS, HONEST
from pipeline.train.network import accuracy
from pipeline.train.undefended import UndefendedMember, undefended
from tests.support.heart import publish

STUDY = Study.load(Path(PROJECT / "studies" / "breast_cancer.yaml"))
LEAST_ACCURACY = 0.83
ROUNDS = [RoundId(1), RoundId(2), RoundId(3)]
ELM = HospitalName("elm")


def rounds(misbehaviour: str, installation: int) -> tuple[list[Mapping[HospitalName, bool]], float, float]:
    """Accept bits per round, then the final accuracy with and without verification."""
    members = {}
    plain = {}
    for index, (name, (train, test)) in enumerate(deal(STUDY, *STUDY.source.load([])).items()):
        act = BEHAVIOURS[misbehaviour] if name == ELM else HONEST
        members[name] = PlainMember.of(STUDY.source.samples(train), Secret(bytes([installation, index]) * 16), act)
        plain[name] = UndefendedMember(members[name].training, STUDY.source.samples(test), act)
    played = play_plain(STUDY, members, ROUNDS)
    counts = [accuracy(played[-1].model, STUDY.network, member.test) for member in plain.values()]
    correct, tested = undefended(STUDY, plain, ROUNDS)[-1]
    return (
        [each.accepted for each in played],
        sum(right for right, _ in counts) / sum(count for _, count in counts),
        correct / tested,
    )


@pytest.mark.parametrize("installation", range(3))
@pytest.mark.parametrize(
    "misbehaviour", ["label_flip", "label_flip_within_budget", "sign_flip", "free_rider", "not_a_number"]
)
def test_the_misbehaving_hospital_is_rejected_in_every_round_and_the_honest_four_never(
    misbehaviour: str, installation: int
) -> None:
    verdicts, defended, plain = rounds(misbehaviour, installation)
    assert verdicts == [{name: name != ELM for name in STUDY.hospitals}] * 3
    assert defended >= LEAST_ACCURACY
    if misbehaviour.startswith("label_flip"):
        assert defended > plain + 0.2


def test_five_honest_hospitals_are_all_accepted() -> None:
    verdicts, defended, plain = rounds("honest", 0)
    assert verdicts == [dict.fromkeys(STUDY.hospitals, True)] * 3
    assert defended >= plain - 0.03


def test_a_real_hospital_of_nearly_all_ill_patients_and_an_empty_column_is_never_rejected(tmp_path: Path) -> None:
    """Switzerland: 115 of 123, and no cholesterol; honest data, not an attack."""
    study = Study.load(PROJECT / "studies" / "heart_disease.yaml")
    members = {}
    for index, (name, (train, _)) in enumerate(deal(study, *study.source.load([publish(tmp_path)])).items()):
        members[name] = PlainMember.of(study.source.samples(train), Secret(bytes([index]) * 32))
    assert (
        np.mean(
            np.concatenate(
                [members[HospitalName("switzerland")].training.labels, members[HospitalName("switzerland")].pool.labels]
            )
        )
        > 0.9
    )
    for each in play_plain(study, members, [RoundId(number) for number in range(1, 7)]):
        assert all(each.accepted.values())
