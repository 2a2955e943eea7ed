"""What histograms of scores tell of a model, and of whom they rule out."""

from __future__ import annotations

from typing import Any


def table(measured: dict[str, Any]) -> str:
    """A row a study: AUC with and without bins, and strangers that counts rule out after one round and after all."""
    last = str(measured["rounds"])
    lines = [
        "| Study | Test records | Hospitals that tell scores | AUC | without bins | at most apart"
        f" | ruled out by matrices, 1 round | {last} rounds | by scores, 1 round | {last} rounds |",
        "|" + "---|" * 10,
    ]
    for row in measured["studies"]:
        out = row["ruled_out"]
        shares = [f"{out[kind][rounds]:.1%}" for kind in ("confusion", "scores") for rounds in ("1", last)]
        areas = [f"{row[name]:.3f}" for name in ("auc", "auc_without_bins", "auc_rounding")]
        cells = [row["study"], str(row["test_records"]), f"{row['tell']} of {row['hospitals']}", *areas, *shares]
        lines.append(f"| {' | '.join(cells)} |")
    said = f"{measured['bins']} bins; a hospital tells scores from {measured['least']} test records of each class on."
    return "\n".join([*lines, "", said]) + "\n"
