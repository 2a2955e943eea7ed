"""Learning rate, steps and thresholds beside one another, over studies and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean
from typing import Any

HEADER = (
    "study", "learning rate", "steps", "thresholds", "seeds", "accuracy", "regression", "furthest below it",
    "honest rejected, early", "later", "flipper accepted",
)  # fmt: skip

_KEY = ("study", "overall", "weakest", "learning_rate", "steps")


def cells(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """A line for each study and setting: means over the seeds, the largest distance, sums of wrong verdicts."""
    for key in sorted({tuple(row[field] for field in _KEY) for row in rows}):
        of_key = [row for row in rows if tuple(row[field] for field in _KEY) == key]
        study, overall, weakest, rate, steps = key
        about = (study, f"{rate:g}", str(steps), f"{overall}, {weakest}", str(len(of_key)))
        if any(row["accuracy"] is None for row in of_key):
            yield (*about, "an update beyond the cap", *[""] * (len(HEADER) - len(about) - 1))
            continue
        below = [100 * (row["regression"] - row["accuracy"]) for row in of_key]
        yield (
            *about,
            f"{mean(row['accuracy'] for row in of_key):.1%}",
            f"{mean(row['regression'] for row in of_key):.1%}",
            f"{max(0.0, *below):.1f}",
            *(str(sum(row[field] for row in of_key)) for field in ("rejected_early", "rejected_later")),
            str(sum(row["attacker_accepted"] for row in of_key)),
        )


def table(measured: dict[str, Any]) -> str:
    """As Markdown."""
    lines = [HEADER, ("---",) * len(HEADER), *cells(measured["rows"])]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
