"""Every defence of the literature returns a mean of good updates and does not follow three that lie far away."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.poisoning.defences import DEFENCES
from benchmarks.poisoning.kinds import Seen, Updates

COMMON = np.random.default_rng(0).normal(size=300)


def seen(updates: Updates) -> Seen:
    good = np.linalg.norm(updates - COMMON, axis=1) < 40
    return Seen(
        updates=updates,
        assumed=3,
        previous=COMMON,
        rng=np.random.default_rng(1),
        root=lambda: COMMON,
        recall=lambda tried: np.concatenate([[20], np.where(good, 30, 5)])[:, None].repeat(10, axis=1),
        samples=32,
    )


def honest(count: int) -> Updates:
    return COMMON + 0.5 * np.random.default_rng(2).normal(size=(count, 300))


@pytest.mark.parametrize("name", DEFENCES)
def test_ten_honest_updates_give_about_their_common_part(name: str) -> None:
    assert np.linalg.norm(DEFENCES[name](seen(honest(10))).update - COMMON) < 0.5 * np.linalg.norm(COMMON)


@pytest.mark.parametrize("name", [name for name in DEFENCES if name != "fedavg"])
def test_three_far_updates_of_ten_are_not_followed(name: str) -> None:
    updates = np.concatenate([honest(7), np.repeat(-8 * COMMON[None], 3, axis=0)])
    undefended = DEFENCES["fedavg"](seen(updates)).update
    outcome = DEFENCES[name](seen(updates))
    assert outcome.update @ COMMON > 0 > undefended @ COMMON
    if outcome.kept is not None and name != "bulyan":
        assert not outcome.kept[7:].any()


def test_fltrust_trusts_nobody_who_turns_away_from_the_root() -> None:
    outcome = DEFENCES["fltrust"](seen(np.repeat(-COMMON[None], 5, axis=0)))
    assert not outcome.update.any()


def test_the_accuracy_filter_adds_nothing_when_nobody_is_left() -> None:
    view = seen(honest(4))
    worse = Seen(
        view.updates, 1, view.previous, view.rng, view.root, lambda tried: np.array([[30], [1], [2], [1], [2]]), 32
    )
    assert not DEFENCES["accuracy_filter"](worse).update.any()
