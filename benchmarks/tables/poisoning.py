"""Attacks against defences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

from benchmarks.poisoning.attacks import NONE
from benchmarks.poisoning.cells import CELLS
from benchmarks.poisoning.own_rules import APART, LARGE, LARGE_WITHOUT_INFERENCE, WARDROUND, WITH_MEDIAN, WITH_PANELS
from benchmarks.poisoning.setting import MAIN, ON_FEATURES, Setting, attacked

_DEFENCES = ("wardround", "wardround_without_inference", "fedavg", "accuracy_filter", "multi_krum", "fltrust", "flame")
BEST_KNOWN = ("wardround", "fltrust", "flame", "multi_krum", "fedavg")
"""The five defences of the short table: this rule, the three that readers know best, and none."""

_OF_A_HEAD = (
    NONE,
    "label_flip+fit",
    "targeted_flip+fit",
    "sign_flip+fit",
    "ipm_0.5",
    "ipm_100+fit",
    "fang_krum",
    "fang_trim+fit",
    "alie",
    "min_max",
    "mimic",
    "backdoor",
    "backdoor+fit",
    "slow_backdoor+fit",
    "dba+fit",
    "rule_aware_flip",
    "rule_aware_targeted",
    "rule_aware_backdoor",
    "gradient_flip",
    "gradient_targeted",
)
"""Attacks on a head that stand in a table by themselves: of each kind, and those that the rule does not just reject."""
_BESIDE_LARGE = {
    WARDROUND: "full mode",
    LARGE: "large mode",
    LARGE_WITHOUT_INFERENCE: "large mode without the peers",
    "fedavg": "plain averaging",
}
"""The rule of large models, what it is less than, and what it is more than."""
_ENOUGH = 3
"""Seeds from which on a difference is judged."""
_LONG = 50
"""Rounds of a study that goes on after its model has converged."""
_NOTHING = 0.5
"""Points that nobody would notice."""


def points_lost(result: dict[str, Any], setting: Setting) -> dict[str, dict[str, float]]:
    """Defence to attack to the points of accuracy that it costs, against plain averaging without an attack.

    Only defences that played every attack.
    """
    attacking = {
        (row["defence"], row["attack"]): row for row in result["rows"] if setting.holds(row) and row["attack"] != NONE
    }
    attacks, defences = ({key[part] for key in attacking} for part in (1, 0))
    losses = {
        name: {attack: -row["gap_mean"] for (defence, attack), row in attacking.items() if defence == name}
        for name in defences
    }
    return {name: lost for name, lost in sorted(losses.items()) if lost.keys() == attacks}


def summary(result: dict[str, Any], defences: Sequence[str] | None = None) -> str:
    """What all attacks of the two main settings cost each defence on average, and the one that costs it most."""
    losses = [points_lost(result, setting) for setting in MAIN]
    columns = " | ".join(f"{setting.dataset}: points lost on average | at most, to" for setting in MAIN)
    lines = [f"| defence | {columns} |", "|---" * (1 + 2 * len(MAIN)) + "|"]
    for name in defences or sorted(losses[0].keys() & losses[1].keys()):
        lines.append(f"| {_title(name)} | {' | '.join(_costs(losses, name))} |")
    return "\n".join(lines) + "\n"


def head_in_short(result: dict[str, Any]) -> str:
    """What all attacks cost each defence of a head, and of the small network on the same pictures."""
    settings = (MAIN[1], ON_FEATURES)
    losses = [points_lost(result, setting) for setting in settings]
    columns = " | ".join(f"{name}: points lost on average | at most, to" for name in ("small network", "head"))
    lines = [f"| defence | {columns} |", "|---" * (1 + 2 * len(settings)) + "|"]
    lines += [f"| {_title(name)} | {' | '.join(_costs(losses, name))} |" for name in losses[1]]
    return "\n".join(lines) + "\n"


def head(result: dict[str, Any]) -> str:
    """The rule on a head, attack by attack, beside the rule on the small network."""
    rows = [
        {row["attack"]: row for row in result["rows"] if setting.holds(row) and row["defence"] == "wardround"}
        for setting in (MAIN[1], ON_FEATURES)
    ]
    heads = ("accuracy, %", "attackers rejected, %", "honest rejected, %", "backdoor success (natural miss), %")
    columns = " | ".join(f"{title}: small network | head" for title in heads)
    lines = [f"| attack | {columns} |", "|---" * (1 + 2 * len(heads)) + "|"]
    for attack in _OF_A_HEAD:
        both = [of_setting[attack] for of_setting in rows if attack in of_setting]
        if len(both) < len(rows):
            continue
        cells = [f"{row['accuracy_mean']} ({row['accuracy_worst']})" for row in both]
        cells += [_number(row[name]) for name in ("rejected", "false_rejects") for row in both]
        cells += [f"{row['asr']} ({row['natural_miss']})" for row in both]
        lines.append(f"| {attack} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def large(result: dict[str, Any], cell: str) -> str:
    """The rule of large models in a cell, attack by attack: what it lets through, then whom it rejects."""
    setting = replace(MAIN[1], first_attack=CELLS[cell].setting.first_attack)
    rows_by_pair = {
        (row["attack"], row["defence"]): row
        for row in result["rows"]
        if setting.holds(row) and row["defence"] in _BESIDE_LARGE
    }
    judging = [name for name in _BESIDE_LARGE if name != "fedavg"]
    attacks = [
        attack for attack in CELLS[cell].attacks if all((attack, name) in rows_by_pair for name in _BESIDE_LARGE)
    ]
    through = _beside(
        rows_by_pair,
        attacks,
        {
            "accuracy, %": (_BESIDE_LARGE, lambda row: f"{row['accuracy_mean']} ({row['accuracy_worst']})"),
            "backdoor success (natural miss), %": (_BESIDE_LARGE, lambda row: f"{row['asr']} ({row['natural_miss']})"),
        },
    )
    rejected = _beside(
        rows_by_pair,
        attacks,
        {
            "attackers rejected, %": (judging, lambda row: _number(row["rejected"])),
            "honest rejected, %": (judging, lambda row: _number(row["false_rejects"])),
        },
    )
    return f"{through}\n{rejected}"


def panels(result: dict[str, Any]) -> str:
    """The rule where a drawn panel tries each model beside the one where all do, attack by attack."""
    names = (WARDROUND, WITH_PANELS)
    cell = CELLS["panels"]
    setting = Setting.of(vars(cell.setting) | {"n": cell.setting.hospitals})
    rows_by_pair = {
        (row["attack"], row["defence"]): row for row in result["rows"] if setting.holds(row) and row["defence"] in names
    }
    attacks = [attack for attack in cell.attacks if all((attack, name) in rows_by_pair for name in names)]
    return _beside(
        rows_by_pair,
        attacks,
        {
            "accuracy, %": (names, lambda row: f"{row['accuracy_mean']} ({row['accuracy_worst']})"),
            "backdoor success (natural miss), %": (names, lambda row: f"{row['asr']} ({row['natural_miss']})"),
            "attackers rejected, %": (names, lambda row: _number(row["rejected"])),
            "honest rejected, %": (names, lambda row: _number(row["false_rejects"])),
        },
        {WARDROUND: "tried by all", WITH_PANELS: "by a panel of 7"},
    )


def long_studies(result: dict[str, Any]) -> str:
    """What becomes of honest hospitals in long studies that nobody attacks."""
    heads = ("rounds", "seeds", "honest updates rejected", "honest in quarantine", "accuracy", "plain averaging")
    lines = [f"| study | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for row in result["rows"]:
        if (row["attack"], row["defence"]) == (NONE, "wardround") and row["rounds"] >= _LONG:
            shown = (
                row["rounds"],
                row["seeds"],
                f"{row['false_rejects']} %",
                f"{row['honest_quarantined']} %",
                row["accuracy_mean"],
                row["attack_free"],
            )
            lines.append(f"| {row['dataset']}, {row['n']} hospitals | {' | '.join(map(str, shown))} |")
    return "\n".join(lines) + "\n"


def commits(attacks: dict[str, Any], separability: dict[str, Any], encrypted: dict[str, Any]) -> str:
    """Whose code played what the tables of a page show."""
    played = sorted({_short(commit) for row in attacks["rows"] for commit in row["commits"]})
    return (
        f"Played by the code of commits {', '.join(played[:-1])} and {played[-1]}; areas under the ROC curve "
        f"by {_short(separability['commit'])}, {separability['rows'][0]['seeds']} seeds; studies under encryption "
        f"by {_short(encrypted['commit'])}.\n"
    )


def whole(result: dict[str, Any]) -> str:
    """Every setting and attack that was run."""
    return _tables(result, attacked(result["rows"]), list(dict.fromkeys(row["attack"] for row in result["rows"])))


def others(result: dict[str, Any]) -> str:
    """Every attack in the two main settings against the defences for which the other tables have no room."""
    lines = []
    for setting in MAIN:
        rows_by_pair = {(row["attack"], row["defence"]): row for row in result["rows"] if setting.holds(row)}
        attacks, defences = (list(dict.fromkeys(names)) for names in zip(*rows_by_pair, strict=True))
        shown = ["wardround", *(name for name in defences if name not in (*_DEFENCES, *APART))]
        lines += [
            f"{setting.title}: test accuracy in percent (worst seed; seeds)",
            "",
            f"| attack | {' | '.join(_title(name) for name in shown)} |",
            "|---" * (len(shown) + 1) + "|",
        ]
        for attack in attacks:
            lines.append(f"| {attack} | {' | '.join(_accuracies(rows_by_pair, attack, shown))} |")
        lines.append("")
    return "\n".join(lines)


def encrypted(result: dict[str, Any]) -> str:
    """Attacked studies computed under encryption as well."""
    lines = [
        "| study | attack | engine | rounds | updates rejected | differing bits, budgets and coordinates |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        cells = (
            f"{row['dataset']}, {row['hospitals']} hospitals",
            row["attack"],
            f"{row['engine']} ({row['protocol']})",
        )
        lines.append(f"| {' | '.join(cells)} | {row['rounds']} | {row['rejected']} | {row['differing']} |")
    return "\n".join(lines) + "\n"


def privacy_floor(result: dict[str, Any]) -> str:
    """What it costs that no single hospital's coordinate is opened."""
    lines = ["| study | attack | mean of at least 3 | median | cost, points (seeds) |", "|---|---|---|---|---|"]
    for setting in MAIN:
        accuracies_by_pair = {
            (row["attack"], row["defence"]): row["accuracy_by_seed"] for row in result["rows"] if setting.holds(row)
        }
        for attack in dict.fromkeys(attack for attack, defence in accuracies_by_pair if defence == WITH_MEDIAN):
            ours = accuracies_by_pair[attack, "wardround"]
            median = accuracies_by_pair[attack, WITH_MEDIAN]
            seeds = sorted(ours.keys() & median.keys())
            means = [mean(accuracies[seed] for seed in seeds) for accuracies in (ours, median)]
            shown = f"{means[0]:.1f} | {means[1]:.1f} | {means[1] - means[0]:+z.1f} ({len(seeds)})"
            lines.append(f"| {setting.dataset}, {setting.n} hospitals | {attack} | {shown} |")
    return "\n".join(lines) + "\n"


def separability(result: dict[str, Any]) -> str:
    """Areas under the ROC curve."""
    names = list(result["rows"][0]["areas"])
    lines = [f"| study | attack | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for row in result["rows"]:
        areas = (f"{area:.2f}" for area in row["areas"].values())
        lines.append(
            f"| {row['dataset']}, {row['n']} hospitals, {row['attackers']} bad | {row['attack']} |"
            f" {' | '.join(areas)} |"
        )
    return "\n".join(lines) + "\n"


def _tables(result: dict[str, Any], settings: Sequence[Setting], attacks: Sequence[str]) -> str:
    lines = []
    for setting in settings:
        rows_by_pair = {(row["attack"], row["defence"]): row for row in result["rows"] if setting.holds(row)}
        shown = [name for name in _DEFENCES if any(defence == name for _, defence in rows_by_pair)]
        lines += [
            f"{setting.title}: test accuracy in percent (worst seed; seeds)",
            "",
            (
                f"| attack | {' | '.join(_title(name) for name in shown)} | attackers rejected | honest rejected "
                "| backdoor success (fedavg), natural miss |"
            ),
            "|---" * (len(shown) + 4) + "|",
        ]
        for attack in attacks:
            if any((attack, name) in rows_by_pair for name in shown):
                lines.append(f"| {attack} | {' | '.join(_cells(rows_by_pair, attack, shown))} |")
        lines += ["", _ahead(rows_by_pair, attacks), ""]
    return "\n".join(lines)


def _beside(
    rows_by_pair: dict[tuple[str, str], dict[str, Any]],
    attacks: Sequence[str],
    measures: Mapping[str, tuple[Iterable[str], Callable[[dict[str, Any]], str]]],
    titles: Mapping[str, str] = _BESIDE_LARGE,
) -> str:
    """A line an attack; of each measure, by its title, a column for each of these defences."""
    heads = []
    for title, (names, _) in measures.items():
        first, *following = (titles[name] for name in names)
        heads += [f"{title}: {first}", *following]
    lines = [f"| attack | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for attack in attacks:
        cells = (shown(rows_by_pair[attack, name]) for names, shown in measures.values() for name in names)
        lines.append(f"| {attack} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _number(measured: float | None) -> str:
    return "" if measured is None else str(measured)


def _costs(losses: Sequence[dict[str, dict[str, float]]], defence: str) -> list[str]:
    """In each setting the points that attacks cost on average, and the attack that costs most."""
    of_defence = [lost[defence] for lost in losses]
    most = [max(lost, key=lost.__getitem__) for lost in of_defence]
    return [
        f"{mean(lost.values()):z.1f} | {lost[attack]:z.1f} ({attack})"
        for lost, attack in zip(of_defence, most, strict=True)
    ]


def _short(commit: str) -> str:
    return commit[:8]


def _title(defence: str) -> str:
    """A defence's name in a table."""
    return "plain averaging (fedavg)" if defence == "fedavg" else defence.replace("_", " ")


def _ahead(rows_by_pair: dict[tuple[str, str], dict[str, Any]], attacks: Sequence[str]) -> str:
    """Which other defences are ahead of the rule by more than noise.

    Noise is twice the standard error of the difference, seed by seed.
    """
    lines = []
    for attack in attacks:
        ahead = {}
        for (other, defence), row in rows_by_pair.items():
            ours = rows_by_pair.get((attack, "wardround"))
            if other != attack or ours is None or defence.startswith("wardround"):
                continue
            seeds = ours["accuracy_by_seed"].keys() & row["accuracy_by_seed"].keys()
            gaps = [row["accuracy_by_seed"][seed] - ours["accuracy_by_seed"][seed] for seed in sorted(seeds)]
            if len(gaps) >= _ENOUGH and mean(gaps) > max(_NOTHING, 2 * stdev(gaps) / len(gaps) ** 0.5):
                ahead[defence] = mean(gaps)
        if ahead:
            names = ", ".join(
                f"{_title(name)} by {gap:.1f}" for name, gap in sorted(ahead.items(), key=lambda ahead_by: -ahead_by[1])
            )
            lines.append(f"- under {attack}: {names}")
    if not lines:
        return "No other defence is ahead of Wardround by more than noise."
    return "\n".join(("Ahead of Wardround by more than noise, in points of accuracy:", "", *lines))


def _accuracies(rows_by_pair: dict[tuple[str, str], dict[str, Any]], attack: str, shown: Sequence[str]) -> list[str]:
    rows = [rows_by_pair.get((attack, name)) for name in shown]
    return [f"{row['accuracy_mean']} ({row['accuracy_worst']}; {row['seeds']})" if row else "not run" for row in rows]


def _cells(rows_by_pair: dict[tuple[str, str], dict[str, Any]], attack: str, shown: Sequence[str]) -> list[str]:
    cells = _accuracies(rows_by_pair, attack, shown)
    ours = rows_by_pair.get((attack, "wardround"))
    if ours is None:
        return [*cells, "", "", ""]
    kept = [_number(ours[name]) for name in ("rejected", "false_rejects")]
    plain = rows_by_pair.get((attack, "fedavg"))
    return [*cells, *kept, f"{ours['asr']} ({plain['asr'] if plain else 'not run'}), {ours['natural_miss']}"]
