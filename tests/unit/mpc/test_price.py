"""What a study's round is said to cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.layers import Work
from pipeline.mpc.price import Rates, VerificationCost
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study

PNEUMONIA = Study.load(PROJECT / "studies" / "pneumonia.yaml")


def test_a_rate_is_paid_for_each_of_what_it_is_of() -> None:
    assert Rates(start=1, product=2, comparison=30, input=400).total(Work(5, 6), 7) == 1 + 10 + 180 + 2800


def test_twice_the_samples_and_more_hospitals_cost_more() -> None:
    rule = PNEUMONIA.rule
    more = [
        PNEUMONIA.model_copy(update={"rule": rule.model_copy(update={"images_per_hospital": 32})}),
        PNEUMONIA.model_copy(update={"hospitals": (*PNEUMONIA.hospitals, "fir")}),
    ]
    cost = VerificationCost.of(PNEUMONIA)
    assert cost.tries == 6 * 5 * 16
    for study in more:
        assert VerificationCost.of(study).cpu_seconds > cost.cpu_seconds
        assert VerificationCost.of(study).bytes_sent > cost.bytes_sent


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tries": 480}, "480 tries"),
        ({"work": Work(56_400_000, 873_328)}, "56 million products, 873,328 comparisons"),
        ({"work": Work(4_230_000_000, 1_060_000)}, "4.2 billion products, 1.1 million comparisons"),
        ({"cpu_seconds": 1.7421}, "about 1.7 seconds of"),
        ({"cpu_seconds": 119.2}, "about 119 seconds of"),
        ({"cpu_seconds": 600}, "about 10 minutes of"),
        ({"cpu_seconds": 9000}, "about 2.5 hours of"),
        ({"bytes_sent": 4_520_000}, "and 4.5 MB sent"),
        ({"bytes_sent": 123e9}, "and 123 GB sent"),
    ],
)
def test_a_cost_is_said_in_words_and_in_two_figures(changes: dict[str, Any], said: str) -> None:
    assert said in str(replace(VerificationCost(1, Work(), 1.0, 1.0), **changes))
