"""Classical models."""

from __future__ import annotations

from typing import Any


def table(results: list[dict[str, Any]]) -> str:
    """Accuracy of classical models beside the federated network."""
    columns = [
        ("own SVM", "hospital", "svm"),
        ("own LR", "hospital", "logistic_regression"),
        ("own tree", "hospital", "decision_tree"),
        ("pooled SVM", "pooled", "svm"),
        ("pooled LR", "pooled", "logistic_regression"),
        ("pooled tree", "pooled", "decision_tree"),
        ("pooled network", "pooled", "network"),
        ("**federated network**", "federated", "network"),
    ]
    lines = ["| Study | Seeds, rounds | " + " | ".join(title for title, _, _ in columns) + " | below pooled network |"]
    lines.append("|" + "---|" * (len(columns) + 3))
    for result in results:
        cells = []
        for _, where, model in columns:
            score = result[where][model]["all"]
            cells.append(
                f"{score['accuracy']:.1%}" + (f" ± {100 * score['deviation']:.1f}" if where == "federated" else "")
            )
        first = (result["study"], f"{len(result['seeds'])}, {result['rounds']}")
        lines.append(f"| {' | '.join((*first, *cells))} | {result['points_below_pooled']} points |")
    refused = ", ".join(
        f"{result['honest_rejected']} of {result['honest_verdicts']} ({result['study']})" for result in results
    )
    return "\n".join([*lines, "", f"Verdicts that rejected an honest hospital: {refused}."]) + "\n"
