"""The trial of a new engine.

What it asks has accepted and rejected updates, and one party that says otherwise is enough.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from pipeline.domain import EngineStats, Sha256
from pipeline.errors import EngineFailed
from pipeline.mpc import reference
from pipeline.mpc.engines.base import (
    AggregateOutput,
    AggregateTask,
    Components,
    Engine,
    Party,
    ProjectedTask,
    RangeOutput,
    RangeTask,
    Task,
    VerifyOutput,
    VerifyTask,
)
from pipeline.setup.engine import trial

NODES = 3


class Openly(Engine):
    """Computes in the open, from all that the parties hold together; one party may say something else."""

    name: ClassVar[str] = "openly"

    def __init__(self, **otherwise: object) -> None:
        self.otherwise = otherwise
        self.held: dict[int, Components] = {}

    def problems(self) -> tuple[str, ...]:
        return ()

    def digest(self, protocol: str) -> Sha256:
        return Sha256("0" * 64)

    def prepare(self, protocol: str, task: Task) -> None:
        pass

    def verify(self, protocol: str, task: VerifyTask, components: Components, party: Party) -> VerifyOutput:
        self.held[party.index] = components
        accepted, budget = reference.verify(task, trial._example()[1])
        output = VerifyOutput(accepted, budget, EngineStats(0, 0, 0, 0))
        return replace(output, **self.otherwise) if party.index == NODES - 1 else output  # type: ignore[arg-type]

    def verify_projected(
        self, protocol: str, task: ProjectedTask, projections: Components, components: Components, party: Party
    ) -> VerifyOutput:
        raise NotImplementedError

    def check_range(self, protocol: str, task: RangeTask, components: Components, party: Party) -> RangeOutput:
        raise NotImplementedError

    def aggregate(self, protocol: str, task: AggregateTask, components: Components, party: Party) -> AggregateOutput:
        raise NotImplementedError


def test_the_known_verification_accepts_some_and_rejects_some() -> None:
    task, payloads = trial._example()
    assert set(reference.verify(task, payloads)[0]) == {True, False}


def test_what_the_parties_hold_is_the_example_and_of_no_party_all_of_it() -> None:
    engine = Openly()
    trial.check(engine, "open", NODES)
    for name, payload in trial._example()[1].items():
        parts = {index: words for held in engine.held.values() for index, words in held[name].items()}
        assert (sum(parts.values(), np.zeros_like(payload)) == payload).all()
        assert {party: set(held[name]) for party, held in engine.held.items()} == {0: {1, 2}, 1: {0, 2}, 2: {0, 1}}


@pytest.mark.parametrize("otherwise", [{"accepted": (True,) * 4}, {"accepted": (False,) * 4}, {"budget": 1}])
def test_an_engine_one_of_whose_parties_says_otherwise_is_refused(otherwise: dict[str, object]) -> None:
    with pytest.raises(EngineFailed, match=r"openly open: party 2: got .* want .*; this engine must not be used"):
        trial.check(Openly(**otherwise), "open", NODES)
