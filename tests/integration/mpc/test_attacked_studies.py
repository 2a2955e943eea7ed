"""Whole attacked studies under encryption.

Every bit, budget and aggregate is the reference's, through quarantine and back-off.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.poisoning.encrypted import compare
from benchmarks.poisoning.simulate import Case
from pipeline.mpc.engines.base import Engine
from pipeline.mpc.engines.mp_spdz.engine import MpSpdz
from pipeline.mpc.engines.spu.engine import Spu


@pytest.mark.parametrize(
    ("attack", "rounds", "kind", "protocol"),
    [
        pytest.param("sign_flip", 6, MpSpdz, "replicated-ring", marks=pytest.mark.mp_spdz),
        pytest.param("label_flip", 4, MpSpdz, "rep4-ring", marks=pytest.mark.mp_spdz),
        pytest.param("label_flip", 3, Spu, "aby3", marks=pytest.mark.spu),
    ],
)
def test_a_whole_attacked_study_is_the_reference_s(
    attack: str, rounds: int, kind: type[Engine], protocol: str, tmp_path: Path
) -> None:
    case = Case("breast_cancer", 5, 1, 0.5, 20, attack, "wardround", 10, rounds)
    compared = compare(case, kind(), protocol, tmp_path)
    assert (compared.rounds, compared.differing) == (rounds, 0)
    # four rejections and a quarantine, so that later rounds are of fewer hospitals
    assert compared.rejected >= min(rounds, 4)
