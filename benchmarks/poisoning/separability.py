"""How well any threshold on what the rule computes could tell attackers' updates from honest ones.

Plays attacks that heed the budget, without quarantine, and looks at the secret quantities of every round after the
early ones (`python -m benchmarks.poisoning.separability`). An area under the ROC curve of 0.5 is a coin: whatever the
threshold, as large a share of honest updates would be rejected as of the attackers'; below 0.5 the attackers' look
better than the honest ones. `together` is a logistic regression, tried on seeds that it was not fitted on. It knows all
but the size, by which an attacker stands out who fills the budget: the budget is published, and it would fill any
other.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import typer

from benchmarks.poisoning.campaign import commit
from benchmarks.poisoning.cells import CELLS, FITTED, FIVE
from benchmarks.poisoning.own_rules import WARDROUND
from benchmarks.poisoning.simulate import Case, Observed, Simulation
from pipeline.host.files import write_atomic
from pipeline.mpc import reference, rule

RESULTS = Path(__file__).parent.parent / "results" / "poisoning-separability.json"

SIZE = "size"
QUANTITIES = (
    SIZE,
    "direction",
    "overall to global",
    "overall to peers",
    "weakest class to global",
    "weakest class to peers",
)
ATTACKS = (*FITTED, "rule_aware_flip", "rule_aware_targeted", "rule_aware_backdoor")

Values = npt.NDArray[np.float64]


def quantities(seen: Observed) -> Values:
    """(hospitals, QUANTITIES): what the rule compares with thresholds; the lower, the more suspect."""
    verification = seen.verification
    if not isinstance(verification, reference.Verification):
        raise TypeError(f"got a {type(verification).__name__}, want one that has judged every coordinate")
    median = sorted(verification.squared_norms)[rule.lower_median(len(verification.squared_norms))]
    norms = np.sqrt(np.maximum(np.array(verification.squared_norms, dtype=np.float64), 1))
    cosines = np.array(verification.products) * float(1 << rule.DIRECTION_BITS)
    cosines /= norms * np.sqrt(max(float(verification.median_square) * (1 << rule.DIRECTION_BITS), 1.0))
    columns = [-norms / np.sqrt(max(median, 1)), cosines]
    for sums in reference.judged(verification.counts):
        updated = sums[1:]
        columns += [updated - sums[0], updated - np.sort(updated)[rule.lower_median(len(updated))]]
    return np.stack(columns, axis=1)


def row(setting: Case, attack: str, seeds: tuple[int, ...] = FIVE) -> dict[str, Any]:
    """Areas under the ROC curve of one attack; raises ValueError where no update was judged after the early rounds."""
    values = []
    attackers = []
    groups = []
    for seed in seeds:
        rounds: list[Observed] = []
        case = replace(setting, attack=attack, defence=WARDROUND, seed=seed)
        thresholds = Simulation(case).rule.model_copy(update={"strikes": case.rounds + 1})
        played = Simulation(case, thresholds, watch=rounds.append)
        played.run()
        bad = {played.names[index] for index in played.bad}
        for seen in rounds[thresholds.early_rounds :]:
            values.append(quantities(seen))
            attackers += [name in bad for name in seen.task.hospitals]
            groups += [seed] * len(seen.task.hospitals)
    table = np.concatenate(values)
    others = table[:, [name != SIZE for name in QUANTITIES]]
    together = _fitted(others, attackers, groups)
    areas = {name: _area(attackers, -column) for name, column in zip(QUANTITIES, table.T, strict=True)}
    return {
        "dataset": setting.dataset,
        "n": setting.hospitals,
        "attackers": setting.attackers,
        "attack": attack,
        "seeds": len(seeds),
        "honest_updates": attackers.count(False),
        "attackers_updates": attackers.count(True),
        "areas": areas | {"together": _area(attackers, together)},
    }


def _fitted(values: Values, attackers: list[bool], groups: list[int]) -> Values:
    """What a regression, fitted to the other groups, suspects of each update."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    suspicion: Values = cross_val_predict(
        model, values, attackers, groups=groups, cv=LeaveOneGroupOut(), method="decision_function"
    )
    return suspicion


def _area(attackers: list[bool], suspicion: Values) -> float:
    from sklearn.metrics import roc_auc_score

    return round(float(roc_auc_score(attackers, suspicion)), 2)


def main(out: Annotated[Path, typer.Option(help="rows to write")] = RESULTS) -> None:
    """Measure the two main settings and write the rows."""
    rows = []
    for name in ("heart", "base"):
        for attack in ATTACKS:
            rows.append(row(CELLS[name].setting, attack))
            typer.echo(json.dumps(rows[-1]))
    lines = ",\n".join(map(json.dumps, rows))
    write_atomic(out, f'{{"commit": "{commit()}",\n"rows": [\n{lines}\n]}}\n'.encode())


if __name__ == "__main__":
    typer.run(main)
