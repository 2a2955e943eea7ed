"""What a model is worth, in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from pipeline.measures.estimates import Measures
from pipeline.report.subgroups import SubgroupsView


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


def print_subgroups(found: SubgroupsView, console: Console) -> None:
    """Print what is told of each group of patients, of the model that the round started from."""
    if found.because:
        console.print(f"  subgroups    not opened: {escape(found.because)}")
    else:
        console.print(
            f"  subgroups    of the model before, on the test records of {escape(', '.join(found.hospitals))}"
        )
    for row in found.rows:
        told = escape(row.remark)
        if row.measures:
            of_classes = [f"{one.name} {one.sensitivity or 'unknown'}" for one in row.measures.classes]
            auc = f", AUC {row.measures.auc.decimal}" if row.measures.auc else ""
            told = f"sensitivity of {escape('; '.join(of_classes))}{auc}, of {row.measures.tested} test records"
        console.print(f"  {escape(f'{row.column}: {row.name}')}: {told}")
    if any(row.withheld for row in found.rows):
        console.print(
            f"  withheld: fewer than {found.floor} patients of a class without one of the hospitals, or a group that"
            " would give them away"
        )
    if found.uncounted:
        console.print(f"  not counted, with too few test records of a class: {escape(', '.join(found.uncounted))}")
    if found.broke:
        console.print(f"  not counted any more, for counts that break their bounds: {escape(', '.join(found.broke))}")
