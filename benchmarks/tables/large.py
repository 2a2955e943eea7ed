"""What a large model's round costs a node."""

from __future__ import annotations

from typing import Any

_COLUMNS = (
    *("Parameters, hospitals", "Taking in one update, processor s", "Projecting all, processor s", "Mean, processor s"),
    *("Memory, MB", "MB sent", "The same mean in NumPy, processor s", "Equal to it"),
)


def table(result: dict[str, Any]) -> str:
    """Costs of one node, beside the plain mean of plain updates."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for row in result["rows"]:
        mean = row["mean"]
        projections = row["projections"]
        memory = max(mean["rss_mb_per_party"], projections["rss_mb_per_party"])
        cells = (
            *(
                f"{row['parameters']:,}, {row['hospitals']}",
                row["intake_of_one"]["cpu_s"],
                projections["cpu_s_per_party"],
            ),
            *(
                mean["cpu_s_per_party"],
                memory,
                mean["mb_sent_per_party"],
                row["numpy"]["cpu_s"],
                "yes" if mean["equal_to_numpy"] else "no",
            ),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    row = result["rows"][0]
    said = (
        f"{row['nodes']} nodes on one machine of {row['cores']} cores. Memory is the most that a step takes; "
        f"{row['imports_rss_mb']} MB of it are libraries. `python -m benchmarks.large` measures it again."
    )
    return "\n".join([*lines, "", said]) + "\n"
