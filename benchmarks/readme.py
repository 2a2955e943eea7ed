"""Writes the README's tables from results/: `python -m benchmarks.readme`; a test holds that they are up to date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"
RESULTS = Path(__file__).parent / "results"
_BEGIN, _END = "<!-- figures: made by `python -m benchmarks.readme` -->", "<!-- end of figures -->"


def rendered(text: str) -> str:
    """The README's text with its tables made anew; raises ValueError when the markers are gone."""
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    return f"{before}{_BEGIN}\n\n{_rounds(json.loads((RESULTS / 'round.json').read_text())['rows'])}\n{_END}{after}"


def _rounds(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| Study | Engine | Hospitals, samples each | Parameters | s per verified round | of it verify, aggregate "
        "| plain averaging, s | ratio | accuracy, plain averaging |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        stages, accuracy = row["seconds_per_stage"], row["accuracy"]
        lines.append(
            f"| {row['study']} | {row['engine']} {row['protocol']} | {row['hospitals']}, {row['samples_per_hospital']} "
            f"| {row['parameters']} "
            f"| {row['seconds_per_round']} | {stages.get('verify')}, {stages.get('aggregate')} | {row['seconds_plain_averaging']} "
            f"| {row['ratios']['verified_over_plain']} | {accuracy['verified']:.1%}, {accuracy['plain_averaging']:.1%} |"
        )
    machine = f"{rows[0]['cores']} cores, everything on one machine" if rows else "no machine"
    return (
        "\n".join([*lines, "", f"Measured on {machine}; one of the hospitals flips its labels. `benchmarks/round.py` measures it again."])
        + "\n"
    )


if __name__ == "__main__":
    README.write_text(rendered(README.read_text()))
