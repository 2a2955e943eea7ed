"""What a verification opens of each update, as verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.domain import Condition
from pipeline.errors import EngineFailed
from pipeline.mpc.engines.base import VerifyTask


def verdicts(task: VerifyTask, opened: Sequence[int]) -> tuple[tuple[bool, ...], tuple[Condition | None, ...]]:
    """Accept bits and first failed conditions (empty unless the task names them).

    Each of `opened` is an accept bit, or where the task names the condition how many held before one failed.
    Raises EngineFailed on what no program opens.
    """
    most = len(task.conditions) if task.names_condition else 1
    _refuse_beyond(most, opened)
    accepted = tuple(held == most for held in opened)
    if not task.names_condition:
        return accepted, ()
    return accepted, tuple(None if held == most else task.conditions[held] for held in opened)


def bits(opened: Sequence[int]) -> tuple[bool, ...]:
    """What a check opens of each hospital, as a bit; raises EngineFailed on what no program opens."""
    _refuse_beyond(1, opened)
    return tuple(map(bool, opened))


def _refuse_beyond(most: int, opened: Sequence[int]) -> None:
    if not all(0 <= held <= most for held in opened):
        raise EngineFailed(f"the program opened something else than numbers from 0 to {most}; a party deviated")
