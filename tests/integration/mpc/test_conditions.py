"""Where the study allows it an engine opens the first condition that an update failed, the reference's.

And of accepted ones no more.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.domain import Condition
from pipeline.mpc import reference, reference_projected
from pipeline.mpc.engines.base import Engine, VerifyOutput
from pipeline.mpc.engines.mp_spdz.engine import MpSpdz
from pipeline.mpc.engines.spu.engine import Spu
from pipeline.mpc.projections import project
from pipeline.study.fields import PROTOCOLS
from tests.support.hostile import hostile_round
from tests.support.large import HONEST_NORM, SEED, hostile_large_round
from tests.support.parties import run_parties
from tests.support.tasks import LOGISTIC

ENGINES = [
    pytest.param(MpSpdz, "replicated-ring", marks=pytest.mark.mp_spdz),
    pytest.param(MpSpdz, "rep4-ring", marks=pytest.mark.mp_spdz),
    pytest.param(Spu, "aby3", marks=pytest.mark.spu),
]


@pytest.mark.parametrize(("kind", "protocol"), ENGINES)
def test_the_condition_is_the_reference_s(kind: type[Engine], protocol: str, tmp_path: Path) -> None:
    task, payloads = hostile_round(LOGISTIC, 4 << 34)
    task = replace(task, rule=replace(task.rule, names_condition=True))
    expected = reference.explain(task, payloads)
    assert set(expected.failed) == {None, *Condition}
    for output in run_parties(kind(), protocol, task, payloads, tmp_path, count=PROTOCOLS[kind.name][protocol]):
        assert isinstance(output, VerifyOutput)
        assert (output.accepted, output.budget, output.failed) == (expected.accepted, expected.budget, expected.failed)


@pytest.mark.parametrize(("kind", "protocol"), ENGINES)
def test_the_condition_of_a_large_model_s_update_is_the_reference_s(
    kind: type[Engine], protocol: str, tmp_path: Path
) -> None:
    task, payloads = hostile_large_round(HONEST_NORM)
    task = replace(task, rule=replace(task.rule, names_condition=True))
    rows = project(list(reference.updates_of(task, payloads)), task.network.size, SEED)
    expected = reference_projected.explain(task, dict(zip(payloads, rows, strict=True)), payloads)
    assert set(expected.failed) == {None, *Condition}
    for output in run_parties(kind(), protocol, task, payloads, tmp_path, count=PROTOCOLS[kind.name][protocol]):
        assert isinstance(output, VerifyOutput)
        assert (output.accepted, output.budget, output.failed) == (expected.accepted, expected.budget, expected.failed)
