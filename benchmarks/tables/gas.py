"""What the ledger costs."""

from __future__ import annotations

from typing import Any


def table(gas: dict[str, Any]) -> str:
    """Gas of a round, beside the least that it can cost."""
    lines = ["| Gas on the ledger | 5 hospitals | 20 | 100 |", "|---|---|---|---|"]
    for name, key in (
        (f"a round ({gas['nodes']} nodes), three transactions", "round"),
        ("the least that these can cost", "floor"),
        ("a round of 4 nodes", "round_of_4_nodes"),
        ("the least", "floor_of_4_nodes"),
    ):
        lines.append(f"| {name} | " + " | ".join(f"{gas[key][count]:,}" for count in ("5", "20", "100")) + " |")
    said = (
        f"A hospital registers for {gas['register']:,} gas and is authorised for {gas['authorise_in_batch']:,} in a"
        f" batch of {gas['batch']}. Measured on anvil, fork {gas['hardfork']}; the least is the transactions, their"
        " calldata, storage, events and signatures without one instruction between them. `benchmarks/gas.py` measures"
        " it again."
    )
    least = min(gas["round_of_4_nodes"].values())
    most = max(gas["round_of_4_nodes"].values())
    bound = (
        f"A round of 3 nodes stays below 140,000 gas for any number of hospitals; one of 4 nodes takes {least:,} to"
        f" {most:,} and does not: a majority of 4 is three signatures, and one more costs about 7,300."
    )
    return "\n".join([*lines, "", bound, "", said]) + "\n"
