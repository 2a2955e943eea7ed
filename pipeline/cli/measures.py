"""What a model is worth, in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from pipeline.measures.estimates import Measures


def print_measures(measures: Measures, console: Console) -> None:
    """Print what each class of the test records tells, with 95 % intervals."""
    for row in measures.classes:
        sensitivity = row.sensitivity or "unknown"
        specificity = row.specificity or "unknown"
        scored = ""
        if row.discrimination:
            scored += f", AUC {row.discrimination.auc.decimal}"
        if row.calibration:
            scored += f", calibration error {row.calibration.error.decimal}, Brier {row.calibration.brier.decimal}"
        console.print(f"  {escape(row.name)}: sensitivity {sensitivity}, specificity {specificity}{scored}")
    console.print(
        f"  balanced accuracy {measures.balanced_accuracy or 'unknown'}, of {measures.tested} test records;"
        f"{f' scores of {measures.scored} of them;' if measures.scored else ''} in brackets 95 % intervals"
    )
