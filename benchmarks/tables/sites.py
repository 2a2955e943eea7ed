"""A consortium whose sites are machines of their own."""

from __future__ import annotations

from typing import Any


def sites(result: dict[str, Any]) -> str:
    """What ran, listened and was connected at each site in a round, and how long rounds took."""
    lines = [
        "| Site | Processes, most at once | Listens at | Is connected with | Memory at most, MiB |",
        "|---|---|---|---|---|",
    ]
    for row in result["sites"]:
        programs = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in row["programs"].items())
        cells = (
            row["site"],
            programs or "none",
            ", ".join(row["listening"]) or "nothing",
            ", ".join(row["connected"]) or "nobody",
            f"{row['memory']:,}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    between = ", ".join(map(str, result["seconds_between_machines"]))
    alone = ", ".join(map(str, result["seconds_on_one_machine"]))
    said = (
        f"Rounds between machines took {between} s. On one machine, in the same run, they took {alone} s. That is"
        f" {result['ratios']['between_over_one']} times as long, without the first round of each. All machines share"
        f" {result['cores']} cores. `make test-sites` and `benchmarks/sites.py` measure it again."
    )
    return "\n".join([*lines, "", said]) + "\n"


def faults(result: dict[str, Any]) -> str:
    """What went wrong between machines, and what it ended in."""
    lines = ["| What happens | The round, or the command | Its seconds | Who is told, and what |", "|---|---|---|---|"]
    for row in result["faults"]:
        told = row["told"].replace("|", "\\|")
        lines.append(f"| {row['fault']} | {row['ended']} | {row['seconds'] or ''} | {told} |")
    return "\n".join(lines) + "\n"
