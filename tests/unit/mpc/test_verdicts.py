"""What a verification opens becomes verdicts, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.domain import Condition, Sha256
from pipeline.errors import EngineFailed
from pipeline.mpc.engines.base import ProjectedTask, VerifyTask
from pipeline.mpc.engines.session.digests import task_digest
from pipeline.mpc.engines.session.verdicts import verdicts
from tests.support.tasks import LOGISTIC, random_round

TASK, _ = random_round(LOGISTIC, hospitals=3, samples=4)
NAMED = replace(TASK, rule=replace(TASK.rule, names_condition=True))
LARGE = ProjectedTask(NAMED.hospitals, NAMED.network, NAMED.rule, NAMED.previous_model, Sha256("0" * 64))


def test_a_bit_says_no_more_than_accepted_or_not() -> None:
    assert verdicts(TASK, [1, 0, 1]) == ((True, False, True), ())


def test_a_number_of_conditions_that_held_names_the_one_that_failed() -> None:
    assert verdicts(NAMED, [0, 1, 2, 3]) == (
        (False, False, False, True),
        (Condition.SIZE, Condition.DIRECTION, Condition.PEERS, None),
    )


@pytest.mark.parametrize(("task", "opened"), [(TASK, [2, 1, 1]), (TASK, [-1, 1, 1]), (NAMED, [4, 3, 3])])
def test_anything_else_is_a_deviation(task: VerifyTask, opened: list[int]) -> None:
    with pytest.raises(EngineFailed, match="a party deviated"):
        verdicts(task, opened)


def test_nodes_that_would_open_different_things_do_not_meet() -> None:
    assert task_digest("aby3", TASK) != task_digest("aby3", NAMED)
    assert task_digest("aby3", NAMED) != task_digest("aby3", LARGE)
    assert task_digest("aby3", LARGE) != task_digest("aby3", replace(LARGE, seed=Sha256("1" * 64)))
