"""Which updates any threshold could tell apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.poisoning.cells import CELLS
from benchmarks.poisoning.own_rules import WARDROUND
from benchmarks.poisoning.separability import QUANTITIES, quantities, row
from benchmarks.poisoning.simulate import Observed, Simulation
from pipeline.mpc import rule

pytestmark = pytest.mark.usefixtures("published_heart")

SETTING = replace(CELLS["heart"].setting, rounds=8)


def test_the_quantities_are_those_that_the_rule_compares_with_its_thresholds() -> None:
    rounds: list[Observed] = []
    Simulation(replace(SETTING, attack="sign_flip+fit", defence=WARDROUND, seed=1), watch=rounds.append).run()
    rejected = 0
    for seen in rounds:
        found = dict(zip(QUANTITIES, quantities(seen).T, strict=True))
        numbers = seen.task.rule
        hospitals = len(seen.task.hospitals)
        answers = rule.answers_counted(hospitals, numbers.samples) / 100
        of_class = rule.answers_counted(hospitals, rule.samples_of_class(numbers.samples, 2)) / 100
        near = (found["overall to global"] >= -numbers.below_global_percent * answers) & (
            found["overall to peers"] >= -numbers.below_peers_percent * answers
        )
        near &= found["weakest class to global"] >= -numbers.weakest_class_below_global_percent * of_class
        near &= found["weakest class to peers"] >= -numbers.weakest_class_below_peers_percent * of_class
        assert np.array_equal(near, seen.verification.peers)
        # A push against the others counts only where it is large, too.
        assert (np.array(seen.verification.direction) | (found["direction"] < -0.4)).all()
        rejected += int((~near).sum())
    assert rejected


def test_a_sign_flip_shows_to_the_peers_and_a_slow_backdoor_in_nothing_but_its_size() -> None:
    flip, backdoor = (row(SETTING, attack, seeds=(0, 1, 2)) for attack in ("sign_flip+fit", "slow_backdoor+fit"))
    assert set(flip["areas"]) == {*QUANTITIES, "together"}
    assert flip["honest_updates"] == 3 * flip["attackers_updates"]
    assert min(flip["areas"]["weakest class to peers"], flip["areas"]["together"]) > 0.7
    assert backdoor["areas"]["size"] > 0.9
    assert max(area for name, area in backdoor["areas"].items() if name != "size") < 0.6
