"""The attacks by name; `+fit` behind a name scales its updates to the published budget."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.poisoning.attacks import (
    alie,
    badnets,
    dba,
    fang_krum,
    fang_trim,
    free_rider,
    gaussian,
    gradient,
    inner_product,
    label_flip,
    lying_judge,
    mimic,
    min_max,
    model_replacement,
    neurotoxin,
    rule_aware,
    sign_flip,
    targeted_flip,
)
from benchmarks.poisoning.kinds import Attack

NONE = "none"
FIT = "+fit"

ATTACKS: Mapping[str, Attack] = {
    "label_flip": label_flip.ATTACK,
    "targeted_flip": targeted_flip.ATTACK,
    "sign_flip": sign_flip.ATTACK,
    "gaussian": gaussian.ATTACK,
    "ipm_0.5": inner_product.SMALL,
    "ipm_100": inner_product.LARGE,
    "alie": alie.ATTACK,
    "min_max": min_max.MIN_MAX,
    "min_sum": min_max.MIN_SUM,
    "fang_krum": fang_krum.ATTACK,
    "fang_trim": fang_trim.ATTACK,
    "backdoor": badnets.ATTACK,
    "slow_backdoor": badnets.SLOW,
    "model_replacement": model_replacement.ATTACK,
    "dba": dba.ATTACK,
    "neurotoxin": neurotoxin.ATTACK,
    "free_rider": free_rider.ATTACK,
    "mimic": mimic.ATTACK,
    "lying_judge": lying_judge.ATTACK,
    "rule_aware_flip": rule_aware.FLIP,
    "rule_aware_targeted": rule_aware.TARGETED,
    "rule_aware_backdoor": rule_aware.BACKDOOR,
    "gradient_flip": gradient.FLIP,
    "gradient_targeted": gradient.TARGETED,
}


def named(name: str) -> tuple[Attack, bool]:
    """The attack of that name and whether it is scaled to the budget."""
    return ATTACKS[name.removesuffix(FIT)], name.endswith(FIT)
