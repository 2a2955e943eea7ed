"""Attacks against defences."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from benchmarks.poisoning.attacks import NONE
from benchmarks.poisoning.setting import MAIN, Setting, attacked
from benchmarks.poisoning.simulate import WITH_MEDIAN

_DEFENCES = ("wardround", "wardround_without_inference", "fedavg", "accuracy_filter", "multi_krum", "fltrust", "flame")
_TELLING = (
    *("none", "label_flip+fit", "targeted_flip+fit", "sign_flip+fit", "fang_trim+fit", "min_max", "slow_backdoor+fit"),
    *("rule_aware_flip", "rule_aware_targeted"),
)
"""Attacks within the budget, where the encrypted inference has to show what it is worth, and those that know the rule."""

_ENOUGH = 3
"""Seeds from which on a difference is judged."""
_NOTHING = 0.5
"""Points that nobody would notice."""


def summary(result: dict[str, Any]) -> str:
    """Each defence over all attacks of the two main settings: what they cost on average, and the one that costs most."""
    attacking = [row for row in result["rows"] if row["attack"] != NONE]
    own = [{(row["attack"], row["defence"]): row for row in attacking if setting.holds(row)} for setting in MAIN]
    attacks = [{attack for attack, _ in rows} for rows in own]
    cells: dict[str, list[str]] = {}
    for name in dict.fromkeys(defence for rows in own for _, defence in rows):
        costs = [{attack: row["gap_mean"] for (attack, defence), row in rows.items() if defence == name} for rows in own]
        if all(cost.keys() == played for cost, played in zip(costs, attacks, strict=True)):
            most = [min(cost, key=cost.__getitem__) for cost in costs]
            cells[name] = [f"{mean(cost.values()):+.1f} | {cost[attack]:+.1f} ({attack})" for cost, attack in zip(costs, most, strict=True)]
    lines = [f"| defence | {' | '.join(f'{setting.dataset}: average | most' for setting in MAIN)} |", "|---" * (1 + 2 * len(MAIN)) + "|"]
    lines += [f"| {name.replace('_', ' ')} | {' | '.join(shown)} |" for name, shown in sorted(cells.items())]
    return "\n".join([*lines, "", _commits(result, MAIN)]) + "\n"


def table(result: dict[str, Any]) -> str:
    """The attacks that tell most, in the two main settings."""
    return _tables(result, MAIN, _TELLING)


def whole(result: dict[str, Any]) -> str:
    """Every setting and attack that was run."""
    return _tables(result, attacked(result["rows"]), list(dict.fromkeys(row["attack"] for row in result["rows"])))


def others(result: dict[str, Any]) -> str:
    """Every attack in the two main settings against the defences for which the other tables have no room."""
    lines = []
    for setting in MAIN:
        own = {(row["attack"], row["defence"]): row for row in result["rows"] if setting.holds(row)}
        attacks, defences = (list(dict.fromkeys(names)) for names in zip(*own, strict=True))
        shown = ["wardround", *(name for name in defences if name not in (*_DEFENCES, WITH_MEDIAN))]
        lines += [
            f"{setting.title}: test accuracy in percent (worst seed; seeds)",
            "",
            f"| attack | {' | '.join(name.replace('_', ' ') for name in shown)} |",
            "|---" * (len(shown) + 1) + "|",
        ]
        for attack in attacks:
            lines.append(f"| {attack} | {' | '.join(_accuracies(own, attack, shown))} |")
        lines.append("")
    return "\n".join([*lines, _commits(result, MAIN)]) + "\n"


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


def privacy_floor(result: dict[str, Any]) -> str:
    """What it costs that no single hospital's coordinate is opened."""
    lines = ["| study | attack | mean of at least 3 | median | cost, points (seeds) |", "|---|---|---|---|---|"]
    for setting in MAIN:
        own = {(row["attack"], row["defence"]): row["accuracy_by_seed"] for row in result["rows"] if setting.holds(row)}
        for attack in dict.fromkeys(attack for attack, defence in own if defence == WITH_MEDIAN):
            ours, median = own[attack, "wardround"], own[attack, WITH_MEDIAN]
            seeds = sorted(ours.keys() & median.keys())
            means = [mean(each[seed] for seed in seeds) for each in (ours, median)]
            shown = f"{means[0]:.1f} | {means[1]:.1f} | {means[1] - means[0]:+.1f} ({len(seeds)})"
            lines.append(f"| {setting.dataset}, {setting.n} hospitals | {attack} | {shown} |")
    return "\n".join(lines) + "\n"


def separability(result: dict[str, Any]) -> str:
    """Areas under the ROC curve."""
    names = list(result["rows"][0]["areas"])
    lines = [f"| study | attack | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for row in result["rows"]:
        areas = (f"{area:.2f}" for area in row["areas"].values())
        lines.append(f"| {row['dataset']}, {row['n']} hospitals, {row['attackers']} bad | {row['attack']} | {' | '.join(areas)} |")
    return "\n".join([*lines, "", f"Runs of commit {result['commit']}, {result['rows'][0]['seeds']} seeds."]) + "\n"


def _tables(result: dict[str, Any], settings: Sequence[Setting], attacks: Sequence[str]) -> str:
    lines = []
    for setting in settings:
        own = {(row["attack"], row["defence"]): row for row in result["rows"] if setting.holds(row)}
        shown = [name for name in _DEFENCES if any(defence == name for _, defence in own)]
        lines += [
            f"{setting.title}: test accuracy in percent (worst seed; seeds)",
            "",
            f"| attack | {' | '.join(name.replace('_', ' ') for name in shown)} | attackers rejected | honest rejected "
            "| backdoor success (fedavg), natural miss |",
            "|---" * (len(shown) + 4) + "|",
        ]
        for attack in attacks:
            if any((attack, name) in own for name in shown):
                lines.append(f"| {attack} | {' | '.join(_cells(own, attack, shown))} |")
        lines += ["", _behind(own, attacks), ""]
    return "\n".join([*lines, _commits(result, settings)]) + "\n"


def _commits(result: dict[str, Any], settings: Sequence[Setting]) -> str:
    shown = [row for row in result["rows"] if any(setting.holds(row) for setting in settings)]
    return f"Runs of commit {', '.join(sorted({commit for row in shown for commit in row['commits']}))}."


def _behind(own: dict[tuple[str, str], dict[str, Any]], attacks: Sequence[str]) -> str:
    """Where another defence is ahead by more than noise: twice the standard error of the difference, seed by seed."""
    found = []
    for attack in attacks:
        ahead = {}
        for (other, defence), row in own.items():
            ours = own.get((attack, "wardround"))
            if other != attack or ours is None or defence.startswith("wardround"):
                continue
            seeds = ours["accuracy_by_seed"].keys() & row["accuracy_by_seed"].keys()
            gaps = [row["accuracy_by_seed"][seed] - ours["accuracy_by_seed"][seed] for seed in sorted(seeds)]
            if len(gaps) >= _ENOUGH and mean(gaps) > max(_NOTHING, 2 * stdev(gaps) / len(gaps) ** 0.5):
                ahead[defence] = mean(gaps)
        if ahead:
            found.append(f"{attack} ({', '.join(f'{name} +{gap:.1f}' for name, gap in sorted(ahead.items(), key=lambda each: -each[1]))})")
    return f"Behind another defence by more than noise: {'; '.join(found) or 'nowhere'}."


def _accuracies(own: dict[tuple[str, str], dict[str, Any]], attack: str, shown: Sequence[str]) -> list[str]:
    rows = [own.get((attack, name)) for name in shown]
    return [f"{row['accuracy_mean']} ({row['accuracy_worst']}; {row['seeds']})" if row else "not run" for row in rows]


def _cells(own: dict[tuple[str, str], dict[str, Any]], attack: str, shown: Sequence[str]) -> list[str]:
    cells = _accuracies(own, attack, shown)
    ours = own.get((attack, "wardround"))
    if ours is None:
        return [*cells, "", "", ""]
    kept = ["" if ours[name] is None else str(ours[name]) for name in ("rejected", "false_rejects")]
    plain = own.get((attack, "fedavg"))
    return [*cells, *kept, f"{ours['asr']} ({plain['asr'] if plain else 'not run'}), {ours['natural_miss']}"]
