"""The six figures that README shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.poisoning.setting import MAIN, Setting
from benchmarks.tables.poisoning import points_lost


def table(
    rounds: dict[str, Any],
    poisoning: dict[str, Any],
    mpc: dict[str, Any],
    hpmpc: dict[str, Any],
    gas: dict[str, Any],
    audit: dict[str, Any],
) -> str:
    """What a round, its defence, verification, ledger and audit cost, each beside what a reader would compare."""
    lines = ["| | Wardround | beside it |", "|---|---|---|"]
    lines += [
        _round(rounds["rows"][0]),
        *(_attacks(poisoning, setting) for setting in MAIN),
        _verification(mpc["rows"], hpmpc["rows"]),
        _gas(gas),
        _audit(audit["rows"][-1], audit),
    ]
    return "\n".join(lines) + "\n"


def _round(row: dict[str, Any]) -> str:
    accuracy = row["accuracy"]
    return (
        f"| A round of `{row['study']}`, {row['hospitals']} hospitals, one of them flipping its labels "
        f"| {row['seconds_per_round']} s, {accuracy['verified']:.1%} accurate "
        f"| plain averaging {row['seconds_plain_averaging']} s, {accuracy['plain_averaging']:.1%} |"
    )


def _attacks(result: dict[str, Any], setting: Setting) -> str:
    ours, plain = (points_lost(result, setting)[defence] for defence in ("wardround", "fedavg"))
    attacks = {attack.partition("+")[0] for attack in ours}
    averages = [sum(lost.values()) / len(lost) for lost in (ours, plain)]
    most = [max(lost.values()) for lost in (ours, plain)]
    return (
        f"| Accuracy lost to {len(attacks)} attacks by {setting.attackers} of {setting.n} hospitals"
        f" (`{setting.dataset}`) | {averages[0]:z.1f} points, at most {most[0]:z.1f} | plain averaging"
        f" {averages[1]:z.1f}, at most {most[1]:z.1f} |"
    )


def _verification(rows: list[dict[str, Any]], of_others: list[dict[str, Any]]) -> str:
    def seconds(engine: str, protocol: str) -> float:
        (row,) = (
            candidate for candidate in _main(rows) if (candidate["engine"], candidate["protocol"]) == (engine, protocol)
        )
        return float(row["cpu_s"])

    ours = seconds("mp-spdz", "replicated-ring")
    stock = seconds("mp-spdz Compiler.ml", "replicated-ring")
    spu = seconds("spu", "aby3")
    trio = next(row for row in of_others if row["protocol"] == "Trio")
    return (
        f"| Verifying 5 models on 64 encrypted images, processor time of three nodes | {ours:.1f} s "
        f"| MP-SPDZ's own layers {stock:.0f} s, SPU {spu:.1f} s; HPMPC, the network without the rule,"
        f" {trio['over_ours']:.1f} times ours |"
    )


def _main(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of the small network with average pooling on one machine, in the layout for a local network."""
    for row in rows:
        size = (row["model"], row["pooling"], row["models"], row["images"], row["round_trip_ms"])
        if size == ("small CNN", "average", 5, 64, 0) and row["profile"] != "wan":
            yield row


def _gas(gas: dict[str, Any]) -> str:
    return (
        f"| Gas of a round on the ledger, 20 hospitals | {gas['round']['20']:,} | the least possible"
        f" {gas['floor']['20']:,} |"
    )


def _audit(row: dict[str, Any], measured: dict[str, Any]) -> str:
    return (
        f"| Auditing {row['rounds']:,} rounds of {measured['hospitals']} hospitals | {row['seconds_all']:.0f} s "
        f"| one round by itself {row['seconds_command_one']:.1f} s |"
    )
