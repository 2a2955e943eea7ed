"""What verifications are priced at, and how far off that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_COLUMNS = (
    *("Protocol", "Start, processor s", "A thousand products, µs", "A comparison, µs", "A number that enters, µs"),
    *("Bytes sent for a comparison", "for a number that enters"),
    *("Verifications measured", "Priced at, of their processor s", "of their MB"),
)


def table(result: Mapping[str, Any], prices: Mapping[str, Any]) -> str:
    """Each protocol's prices beside the worst of what was measured."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for protocol, of_protocol in prices["protocols"].items():
        rows = [row for row in result["rows"] if row["protocol"] == protocol]
        cpu = of_protocol["cpu_seconds"]
        sent = of_protocol["bytes_sent"]
        cells = (
            *(protocol, f"{cpu['start']:.2g}", f"{cpu['product'] * 1e9:.2g}"),
            *(f"{rate * 1e6:.2g}" for rate in (cpu["comparison"], cpu["input"])),
            *(f"{rate:.0f}" for rate in (sent["comparison"], sent["input"])),
            *(len(rows), _span(rows, "cpu_s"), _span(rows, "mb")),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return (
        "\n".join(lines)
        + f"\n\nAll nodes together, on {prices['machine']}, in the layout for nodes that are near one another. In mode"
        f" large, projecting takes {prices['projecting_cpu_seconds'] * 1e6:.2g} µs more for each number of a component."
        " `python -m benchmarks.work` measures what is missing and fits the prices again.\n"
    )


def _span(rows: Sequence[Mapping[str, Any]], column: str) -> str:
    ratios = [row[f"{column}_by_prices"] / row[column] for row in rows]
    return f"{min(ratios):.2f} to {max(ratios):.2f}"
