"""What a panel for each model costs with many hospitals, and how often one errs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.panels import PANELS

_COLUMNS = (
    "Protocol",
    "Hospitals",
    "Samples of each",
    "Panel",
    "Tries",
    "Processor s",
    "beside five",
    "MB",
    "beside five",
)


def cost(result: Mapping[str, Any]) -> str:
    """Verifications of many hospitals beside five's."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for row in result["rows"]:
        panel = "all" if row["panel"] is None else row["panel"]
        cells = (row["protocol"], row["hospitals"], row["samples"], panel, f"{row['tries']:,}", row["cpu_s"])
        ratios = (f"{row['cpu_ratio']} x", f"{row['mb']:,.0f}", f"{row['mb_ratio']} x")
        lines.append(f"| {' | '.join(map(str, (*cells, *ratios)))} |")
    return (
        "\n".join(lines)
        + f"\n\n{result['rows'][0]['model']}, one verification of each, all nodes together, equal to the reference."
        " `python -m benchmarks.panels`.\n"
    )


def odds(result: Mapping[str, Any]) -> str:
    """How likely a model's panel has more liars than are trimmed."""
    columns = ("Hospitals", "of whom lie together", *(f"panel of {panel}" for panel in PANELS))
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in result["odds"]:
        cells = (_percent(row["misled"].get(str(panel))) for panel in PANELS)
        lines.append(f"| {row['hospitals']} | {row['liars']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _percent(probability: float | None) -> str:
    if probability is None:
        return "-"
    if probability == 0:
        return "never"
    return f"{100 * probability:.1f} %" if probability >= 0.001 else f"{100 * probability:.1g} %"
