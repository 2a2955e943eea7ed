"""The matrix: which settings, attacks and defences are run together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from benchmarks.poisoning.attacks import ATTACKS, FIT, NONE
from benchmarks.poisoning.data import HEAD
from benchmarks.poisoning.defences import DEFENCES
from benchmarks.poisoning.own_rules import (
    LARGE,
    LARGE_WITHOUT_INFERENCE,
    WARDROUND,
    WITH_MEDIAN,
    WITH_PANELS,
    WITHOUT_INFERENCE,
)
from benchmarks.poisoning.simulate import Case

COMPARED = (WARDROUND, WITHOUT_INFERENCE, "fedavg", "accuracy_filter", "multi_krum")
BESIDE = ("fltrust", "flame")
ELSEWHERE = (WARDROUND, "fedavg", "accuracy_filter", "multi_krum")
OTHERS = tuple(name for name in DEFENCES if name not in (*COMPARED, *BESIDE))

NAIVE = tuple(name for name, attack in ATTACKS.items() if not attack.adaptive)
ADAPTIVE = tuple(name for name, attack in ATTACKS.items() if attack.adaptive)
FITTED = tuple(
    f"{name}{FIT}"
    for name in (
        "label_flip",
        "targeted_flip",
        "sign_flip",
        "gaussian",
        "ipm_100",
        "fang_krum",
        "fang_trim",
        "backdoor",
        "slow_backdoor",
        "dba",
    )
)
"""Those that overshoot the budget; the others keep within it by themselves."""
HARDEST = ("label_flip+fit", "targeted_flip+fit", "rule_aware_flip", "rule_aware_targeted", "gradient_targeted")
ALL = (NONE, *NAIVE, *FITTED, *ADAPTIVE)
SAMPLE = (
    NONE,
    "label_flip",
    "targeted_flip+fit",
    "sign_flip",
    "min_max",
    "fang_trim",
    "slow_backdoor",
    "rule_aware_targeted",
)
FLOOR = 20
"""Training records of each class that every hospital is dealt at least, before a third of them goes to its pool."""


@dataclass(frozen=True)
class Cell:
    """Attacks against defences in one setting."""

    setting: Case
    """Its attack, defence and seed are placeholders."""
    attacks: tuple[str, ...]
    defences: tuple[str, ...]
    seeds: tuple[int, ...]

    def cases(self) -> Iterator[Case]:
        """Seed by seed, so that an interrupted run has whole rows of few seeds rather than few whole rows."""
        for seed in self.seeds:
            for attack in self.attacks:
                for defence in self.defences:
                    yield replace(self.setting, attack=attack, defence=defence, seed=seed)


def _images(hospitals: int, attackers: int, alpha: float = 0.5, floor: int = FLOOR, **more: int) -> Case:
    return Case("pneumonia", hospitals, attackers, alpha, floor, NONE, "fedavg", 0, **more)


def _heart(attackers: int = 1) -> Case:
    return Case("heart_disease", 4, attackers, 0.0, 0, NONE, "fedavg", 0)


FIVE = tuple(range(10, 15))
"""Seeds below 10 chose the thresholds: no row contains them."""
THREE = FIVE[:3]
TWENTY = (*FIVE, *range(40, 55))
"""Where single seeds differ by more than what is to be shown; 20 to 39 chose how many strikes heart's four hospitals
have."""
AVERAGED = (
    NONE,
    "label_flip+fit",
    "targeted_flip+fit",
    "sign_flip+fit",
    "alie",
    "min_max",
    "fang_trim",
    "rule_aware_flip",
)
"""Where it may matter how the accepted updates are averaged, since attackers are among them."""
OF_LARGE = (
    NONE,
    "label_flip+fit",
    "targeted_flip+fit",
    "sign_flip+fit",
    "backdoor+fit",
    "slow_backdoor",
    "slow_backdoor+fit",
    "dba+fit",
    "min_max",
    "rule_aware_flip",
    "rule_aware_targeted",
    "rule_aware_backdoor",
    "gradient_targeted",
)
"""What a plain mean may take in that a trimmed one dilutes, and what the peers may see of it."""
OF_PANELS = (*SAMPLE, "label_flip+fit", "lying_judge", "rule_aware_flip")
"""Where it may matter how many of those who judge a model lie."""
LATE = (*HARDEST, "slow_backdoor")
"""By attackers who are honest until the model has learnt."""
DRIFT = (NONE, "rule_aware_targeted", "gradient_targeted", "min_max")
"""Small steps in one direction, over many rounds."""

CELLS: Mapping[str, Cell] = {
    "base": Cell(_images(10, 3), ALL, COMPARED, THREE),
    "base_more_seeds": Cell(_images(10, 3), ALL, COMPARED, FIVE[3:]),
    "privacy_floor": Cell(_images(10, 3), AVERAGED, (WITH_MEDIAN,), FIVE),
    "calm": Cell(_images(10, 3), (NONE,), (WARDROUND, "fedavg"), TWENTY),
    "base_beside": Cell(_images(10, 3), ALL, BESIDE, FIVE),
    "base_more_defences": Cell(_images(10, 3), ALL, OTHERS, FIVE),
    "heart": Cell(_heart(), ALL, (*COMPARED, *BESIDE), TWENTY),
    "heart_privacy_floor": Cell(_heart(), AVERAGED, (WITH_MEDIAN,), TWENTY),
    "heart_more_defences": Cell(_heart(), ALL, OTHERS, FIVE),
    "ten_percent": Cell(_images(10, 1), SAMPLE[1:], ELSEWHERE, FIVE),
    "twenty_percent": Cell(_images(10, 2), SAMPLE[1:], ELSEWHERE, FIVE),
    "forty_percent": Cell(_images(10, 4), (*SAMPLE[1:], "rule_aware_flip"), ELSEWHERE, FIVE),
    "five_hospitals": Cell(_images(5, 1), SAMPLE, ELSEWHERE, FIVE),
    "five_hospitals_two": Cell(_images(5, 2), SAMPLE[1:], ELSEWHERE, FIVE),
    "twenty_hospitals": Cell(_images(20, 6), SAMPLE, ELSEWHERE, FIVE),
    "panels": Cell(_images(20, 6), OF_PANELS, (WARDROUND, WITH_PANELS), FIVE),
    "even": Cell(_images(10, 3, 100.0), SAMPLE, ELSEWHERE, FIVE),
    "skewed": Cell(_images(10, 3, 0.1), SAMPLE, ELSEWHERE, FIVE),
    "late": Cell(_images(10, 3, first_attack=6), LATE, (WARDROUND, "fedavg"), FIVE),
    "long": Cell(_images(10, 3, rounds=50), (NONE,), (WARDROUND, "fedavg"), FIVE),
    "heart_long": Cell(replace(_heart(), rounds=50), (NONE,), (WARDROUND, "fedavg"), TWENTY),
    "head": Cell(replace(_images(10, 3), dataset=HEAD), ALL, COMPARED, FIVE),
    "large": Cell(_images(10, 3), OF_LARGE, (LARGE, LARGE_WITHOUT_INFERENCE), FIVE),
    "large_late": Cell(_images(10, 3, first_attack=6), LATE, (LARGE, LARGE_WITHOUT_INFERENCE), FIVE),
    "drift": Cell(_images(10, 3, rounds=50), DRIFT, (WARDROUND, "fedavg"), FIVE),
    "heart_drift": Cell(replace(_heart(), rounds=50), DRIFT, (WARDROUND, "fedavg"), TWENTY),
}
