"""Whole rounds through Airflow."""

from __future__ import annotations

from typing import Any


def table(result: dict[str, Any]) -> str:
    """Seconds and accuracy of whole rounds."""
    rows = result["rows"]
    lines = [
        (
            "| Study | Engine | Hospitals, samples each | Parameters | s per verified round | of it verify, aggregate "
            "| plain averaging, s | ratio | accuracy, plain averaging |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        stages = row["seconds_per_stage"]
        accuracy = row["accuracy"]
        lines.append(
            f"| {row['study']} | {row['engine']} {row['protocol']} | {row['hospitals']}, {row['samples_per_hospital']}"
            f" | {row['parameters']} | {row['seconds_per_round']} | {stages.get('verify')}, {stages.get('aggregate')} |"
            f" {row['seconds_plain_averaging']} | {row['ratios']['verified_over_plain']} | {accuracy['verified']:.1%},"
            f" {accuracy['plain_averaging']:.1%} |"
        )
    machine = f"{rows[0]['cores']} cores, everything on one machine" if rows else "no machine"
    return (
        "\n".join(
            [
                *lines,
                "",
                (
                    f"Measured on {machine}; one of the hospitals flips its labels. `benchmarks/round.py` measures it"
                    " again."
                ),
            ]
        )
        + "\n"
    )
