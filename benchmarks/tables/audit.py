"""How long an audit takes."""

from __future__ import annotations

from typing import Any

_COLUMNS = (
    *("rounds on the ledger", "`audit --all`, s", "ms a round", "its processor s"),
    *("store and chain, processor s", "others meanwhile, processor s", "`audit N`, s"),
)


def table(measured: dict[str, Any]) -> str:
    """Seconds of `wardround audit --all` and of one round, by the number of rounds on the ledger."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for row in measured["rows"]:
        # what is left of a whole machine's seconds comes out a little below zero where nobody else ran
        spent = row["processor_seconds_all"]
        others = max(0.0, row["processor_seconds_of_others"])
        wall = row["seconds_all"]
        milliseconds = row["milliseconds_per_round"]
        cells = (
            f"{row['rounds']:,}",
            wall,
            milliseconds,
            spent["command"],
            spent["store_and_chain"],
            others,
            row["seconds_command_one"],
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    said = (
        f"Finished rounds of {measured['hospitals']} hospitals and {measured['nodes']} nodes on a real MinIO and anvil,"
        f" {measured['cores']} cores, each command a process of its own. Over the cores, the processor seconds of the"
        " command, the store and the chain are the least that a quiet machine would take; that was not measured."
        " `benchmarks/audit.py` measures it again."
    )
    return "\n".join([*lines, "", said]) + "\n"
