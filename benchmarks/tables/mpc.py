"""The encrypted verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(result: dict[str, Any], grid: dict[str, Any]) -> str:
    """CPU, time, rounds and traffic of the verification; and in one line what the grid of models and sizes found."""
    lines = [
        (
            "| Model | Models x images | Engine, protocol | Round trip, ms | Processor s, all nodes | Times PyTorch's |"
            " Wall s | Rounds | MB | MB of memory a node | Equal to the reference |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        layout = f" ({row['profile']})" if row["profile"] else ""
        lines.append(
            f"| {_model(row)} | {row['models']} x {row['images']} | {row['engine']} {row['protocol']}{layout} |"
            f" {row['round_trip_ms']} | {row['cpu_s']:.2f} | {row['cpu_s'] / row['plain_cpu_s']:,.0f} | {row['wall_s']}"
            f" | {row['rounds'] or 'not counted'} | {row['mb']} | {row['rss_mb']} |"
            f" {'yes' if row['equal_to_reference'] else 'no'} |"
        )
    ratios = result["ratios"]
    said = [
        f"MP-SPDZ's own layers take {ratios['stock_over_ours']} times our CPU",
        f"SPU {ratios['spu_over_ours']} times",
        f"rep4-ring {ratios['rep4_over_semi_honest']} times replicated-ring",
    ]
    return (
        "\n".join(lines)
        + f"\n\nSmall CNN with average pooling, 5 models x 64 images: {'; '.join(said)}. PyTorch takes one thread. Our"
        " rows and SPU's are the whole rule, MP-SPDZ's own layers the counts alone. All nodes on one machine of"
        f" {result['machine']['cores']} cores at load {result['machine']['load']}. `make bench-mpc` measures it"
        " again.\n\n" + _grid(grid["rows"])
    )


def _model(row: Mapping[str, Any]) -> str:
    pooling = "" if row["pooling"] == "none" else f", {row['pooling']} pooling"
    mode = "" if row["mode"] == "full" else f", mode {row['mode']}"
    return f"{row['model']}{pooling}{mode}"


def _grid(rows: Sequence[Mapping[str, Any]]) -> str:
    opened = [row for row in rows if row["compared"] == "every quantity"]
    equal, rest = (
        sum(row["equal_to_reference"] for row in compared)
        for compared in (opened, [row for row in rows if row not in opened])
    )
    largest = max(opened, key=lambda row: int(row["rss_mb"]))
    return (
        f"Over {len({row['model'] for row in rows})} models x 1, 5 and 10 hospitals x 64 and 200 images, {equal} of"
        f" {len(opened)} verifications by MP-SPDZ equal the reference in every count, norm, inner product and"
        f" condition, which a program of the tests opens; {rest} of {len(rows) - len(opened)} by SPU in accept bits and"
        f" budget. A node of MP-SPDZ took at most {largest['rss_mb']} MB ({largest['model']}, {largest['layout']}"
        f" layout, {largest['hospitals']} hospitals). `python -m benchmarks.mpc_grid`.\n"
    )
