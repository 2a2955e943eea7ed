"""A peer's engine beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_COLUMNS = (
    *("Model", "Engine, protocol", "Ring, fraction, bits", "Truncation", "TLS", "Processor s, all nodes", "Of ours"),
    *("Wall s", "MB", "MB of memory a node", "Answers unlike PyTorch's"),
)


def table(result: dict[str, Any]) -> str:
    """CPU, time, traffic and wrong answers of every engine in one run."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for row in result["rows"]:
        cells = (
            *(f"{row['model']}, {row['pooling']} pooling", f"{row['engine']} {row['protocol']}"),
            *(row["numbers"], row["truncation"], row["tls"]),
            *(f"{row['cpu_s']:.2f}", f"{row['over_ours']:.2f}", row["wall_s"], row["mb"], row["rss_mb"]),
            _unlike(row),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    first = result["rows"][0]
    answers = first["models"] * first["images"]
    said = (
        f"{first['models']} models x {first['images']} images; all nodes on one machine of"
        f" {result['machine']['cores']} cores at load {result['machine']['load']}. Costs are those of the cheapest of"
        f" {result['runs']} runs, MP-SPDZ's own layers ran once; answers are those of {result['runs']} draws of models"
        f" and images, {result['runs'] * answers:,} in all. *Of ours*: processor seconds over our program's under"
        " replicated-ring, with four nodes under rep4-ring. `python -m benchmarks.hpmpc` measures it again."
    )
    return "\n".join([*lines, "", said]) + "\n"


def _unlike(row: Mapping[str, Any]) -> str:
    if "largest_difference_of_a_count" in row:
        return f"not opened; a count by at most {row['largest_difference_of_a_count']}"
    return str(row["unlike_pytorch"])
