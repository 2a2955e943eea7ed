import re
from pathlib import Path

import pytest

from benchmarks.pages import DOCUMENTS, rendered
from benchmarks.poisoning.own_rules import APART
from benchmarks.poisoning.setting import MAIN, ON_FEATURES
from benchmarks.tables import poisoning

_TABLE_LINE = re.compile(r"^\|.*\|$", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_figures_are_those_of_the_results(document: Path) -> None:
    text = document.read_text()
    assert "made by `python -m benchmarks.pages`" in text
    assert rendered(text) == text, "run `python -m benchmarks.pages`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tables_print_no_negative_zero_or_seconds_no_commit_in_full_and_no_absent_pooling(document: Path) -> None:
    text = document.read_text()
    tables = "\n".join(_TABLE_LINE.findall(text))
    assert re.findall(r"(?<!\d)-0(?:\.0+)?(?![\d.])", tables) == []
    assert re.findall(r"\| -\d[\d.]* (?=s\b|\|)", tables) == []
    assert re.findall(r"\b[0-9a-f]{40}\b", text) == []
    assert "none pooling" not in text


def test_the_front_page_has_one_table_of_at_most_six_rows() -> None:
    text = (DOCUMENTS[0]).read_text()
    begin = "<!-- results: made by `python -m benchmarks.pages` -->"
    end = "<!-- end of results -->"
    rows = _TABLE_LINE.findall(text[text.index(begin) : text.index(end)])
    assert 0 < len(rows) - len(("heads", "rule")) <= 6
    assert text.count("made by `python -m benchmarks.pages`") == 1


def test_a_document_without_the_end_of_a_table_is_refused_before_any_is_written() -> None:
    with pytest.raises(ValueError, match="end of gas"):
        rendered("<!-- gas: made by `python -m benchmarks.pages` -->\n\nand no more")


def test_a_table_that_nobody_makes_is_refused() -> None:
    with pytest.raises(ValueError, match="weather"):
        rendered("<!-- weather: made by `python -m benchmarks.pages` -->\n<!-- end of weather -->\n")


def _row(attack: str, defence: str, gap: float, accuracies: list[float]) -> dict[str, object]:
    setting = {"dataset": "pneumonia", "n": 10, "attackers": 3, "alpha": 0.5, "rounds": 12, "first_attack": 0}
    by_seed = {str(seed): accuracy for seed, accuracy in enumerate(accuracies)}
    return setting | {"attack": attack, "defence": defence, "gap_mean": gap, "accuracy_by_seed": by_seed}


def test_points_are_lost_to_attacks_alone_and_by_defences_that_met_them_all() -> None:
    rows = [
        _row("none", "wardround", 0.5, []),
        _row("label_flip", "wardround", -1.5, []),
        _row("sign_flip", "wardround", 0.02, []),
        _row("label_flip", "median", -3.0, []),
    ]
    assert poisoning.points_lost({"rows": rows}, MAIN[1]) == {"wardround": {"label_flip": 1.5, "sign_flip": -0.02}}


def test_what_rounds_to_nothing_has_no_sign() -> None:
    rows = [
        row | {"dataset": setting.dataset, "n": setting.n, "attackers": setting.attackers, "alpha": setting.alpha}
        for setting in MAIN
        for row in [_row("sign_flip", "wardround", 0.02, [])]
    ]
    assert "| wardround | 0.0 | 0.0 (sign_flip) | 0.0 | 0.0 (sign_flip) |" in poisoning.summary({"rows": rows})


def test_who_is_ahead_is_named_with_the_points_and_noise_is_not() -> None:
    rows = [
        _row("mimic", "wardround", 0, [80.0, 81.0, 82.0]),
        _row("mimic", "fltrust", 0, [82.0, 83.1, 84.2]),
        _row("mimic", "median", 0, [80.4, 81.4, 82.4]),
        _row("mimic", "rfa", 0, [70.0, 81.0, 99.0]),
    ]
    own = {(str(row["attack"]), str(row["defence"])): row for row in rows}
    assert poisoning._ahead(own, ["mimic"]).splitlines()[-1] == "- under mimic: fltrust by 2.1"
    assert poisoning._ahead({("mimic", "wardround"): rows[0]}, ["mimic"]).startswith("No other defence is ahead")


def test_a_head_stands_beside_the_small_network_attack_by_attack() -> None:
    measures = {"accuracy_mean": 86.0, "accuracy_worst": 85.0, "rejected": None, "false_rejects": 1.0}
    rows = [
        _row("none", "wardround", 0, []) | measures | {"asr": 11.0, "natural_miss": 10.0, "dataset": setting.dataset}
        for setting in (MAIN[1], ON_FEATURES)
    ]
    rows[1] |= {"accuracy_mean": 87.5, "asr": 7.0}
    last = "| none | 86.0 (85.0) | 87.5 (85.0) |  |  | 1.0 | 1.0 | 11.0 (10.0) | 7.0 (10.0) |"
    assert poisoning.head({"rows": rows}).splitlines()[-1] == last


def test_the_rule_of_large_models_stands_between_the_full_one_and_none() -> None:
    measures = {"accuracy_worst": 80.0, "false_rejects": 1.0, "asr": 11.0, "natural_miss": 10.0}
    defences = ("wardround", "wardround_large", "wardround_large_without_inference", "fedavg")
    rows = [
        _row(attack, defence, 0, [])
        | measures
        | {"accuracy_mean": 88.0 - place, "rejected": None if defence == "fedavg" else 90.0 - place}
        for attack in ("min_max", "alie")
        for place, defence in enumerate(defences)
    ]
    through, rejected = poisoning.large({"rows": rows}, "large").split("\n\n")
    accuracies = "88.0 (80.0) | 87.0 (80.0) | 86.0 (80.0) | 85.0 (80.0)"
    assert through.splitlines()[2:] == [f"| min_max | {accuracies} | {' | '.join(['11.0 (10.0)'] * 4)} |"]
    assert rejected.splitlines()[2:] == ["| min_max | 90.0 | 89.0 | 88.0 | 1.0 | 1.0 | 1.0 |"]
    assert "min_max" not in poisoning.large({"rows": rows[:3]}, "large")
    assert "min_max" not in poisoning.large({"rows": rows}, "large_late")


def test_the_rules_that_have_a_table_by_themselves_are_in_no_other() -> None:
    rows = [
        _row("min_max", name, 0, [80.0]) | {"accuracy_mean": 80.0, "accuracy_worst": 80.0, "seeds": 1}
        for name in ("wardround", "median", *APART)
    ]
    heart = {"dataset": MAIN[0].dataset, "n": MAIN[0].n, "attackers": MAIN[0].attackers, "alpha": MAIN[0].alpha}
    shown = poisoning.others({"rows": [*rows, *(row | heart for row in rows)]})
    assert "median" in shown
    assert "large" not in shown
