"""Attacks against defences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.poisoning.setting import MAIN, Setting, attacked

_DEFENCES = ("wardround", "wardround_without_inference", "fedavg", "accuracy_filter", "multi_krum", "fltrust", "flame")
_TELLING = (
    *("none", "label_flip+fit", "targeted_flip+fit", "sign_flip+fit", "fang_trim+fit", "min_max", "slow_backdoor+fit"),
    *("rule_aware_flip", "rule_aware_targeted"),
)
"""Attacks within the budget, where the encrypted inference has to show what it is worth, and those that know the rule."""


def table(result: dict[str, Any]) -> str:
    """The attacks that tell most, in the two main settings."""
    return _tables(result, MAIN, _TELLING)


def whole(result: dict[str, Any]) -> str:
    """Every setting and attack that was run."""
    return _tables(result, attacked(result["rows"]), list(dict.fromkeys(row["attack"] for row in result["rows"])))


def encrypted(result: dict[str, Any]) -> str:
    """Attacked studies computed under encryption as well."""
    lines = [
        "| study | attack | engine | rounds | updates rejected | differing bits, budgets and coordinates |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        cells = (f"{row['dataset']}, {row['hospitals']} hospitals", row["attack"], f"{row['engine']} ({row['protocol']})")
        lines.append(f"| {' | '.join(cells)} | {row['rounds']} | {row['rejected']} | {row['differing']} |")
    return "\n".join([*lines, "", f"Runs of commit {result['commit']}."]) + "\n"


def _tables(result: dict[str, Any], settings: Sequence[Setting], attacks: Sequence[str]) -> str:
    lines = []
    for setting in settings:
        own = {(row["attack"], row["defence"]): row for row in result["rows"] if setting.holds(row)}
        shown = [name for name in _DEFENCES if any(defence == name for _, defence in own)]
        lines += [
            f"{setting.title}: test accuracy in percent (worst seed; seeds)",
            "",
            f"| attack | {' | '.join(name.replace('_', ' ') for name in shown)} | attackers rejected | honest rejected "
            "| backdoor success, natural miss |",
            "|---" * (len(shown) + 4) + "|",
        ]
        for attack in attacks:
            if any((attack, name) in own for name in shown):
                lines.append(f"| {attack} | {' | '.join(_cells(own, attack, shown))} |")
        lines.append("")
    lines.append(
        f"Runs of commit {result['commit']}; rows with fewer than 5 seeds are first looks, and settings without a row were not run."
    )
    return "\n".join(lines) + "\n"


def _cells(own: dict[tuple[str, str], dict[str, Any]], attack: str, shown: Sequence[str]) -> list[str]:
    rows = [own.get((attack, name)) for name in shown]
    cells = [f"{row['accuracy_mean']} ({row['accuracy_worst']}; {row['seeds']})" if row else "not run" for row in rows]
    ours = own.get((attack, "wardround"))
    if ours is None:
        return [*cells, "", "", ""]
    kept = ["" if ours[name] is None else str(ours[name]) for name in ("rejected", "false_rejects")]
    return [*cells, *kept, f"{ours['asr']}, {ours['natural_miss']}"]
