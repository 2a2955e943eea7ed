"""What docs and the studies' comments say is what the code says."""

from __future__ import annotations

import ast
from itertools import dropwhile, product, takewhile
from pathlib import Path

import pytest
import yaml

from handbook import attacks
from handbook.__main__ import PROJECT, THREATS, rendered
from pipeline.cli import commands
from pipeline.datasets import DATASETS
from pipeline.errors import InvalidStudy
from pipeline.layers import LAYERS
from pipeline.study import study_diff
from pipeline.study.study import Study
from pipeline.study.study_file import commented
from tests.adversary import AIMS, ATTACKERS, Attack, attacker
from tests.support.commands import every

FILES = rendered()
STUDIES = sorted((PROJECT / "studies").glob("*.yaml"))
TESTS = PROJECT / "tests"
ADVERSARY = TESTS / "adversary"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_made_from_the_code_is_up_to_date(path: Path) -> None:
    assert path.read_text() == FILES[path], "run `python -m handbook`"


def test_the_command_reference_has_every_command_and_option_with_its_whole_help() -> None:
    page = (PROJECT / "docs" / "reference" / "commands.md").read_text()
    for words, command in every(commands):
        assert f"## `wardround {words}`" in page
        assert command.help in page
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert [each for each in parameter.opts if each not in page] == []
            assert parameter.help in page


def test_every_field_of_a_study_has_a_name_and_a_meaning_of_its_own() -> None:
    words = study_diff.of_study()
    assert [path for path, field in words.items() if not field.label or not field.meaning] == []
    meanings = [field.meaning for field in words.values()]
    assert sorted(set(meanings)) == sorted(meanings)


def test_the_reference_names_every_field_layer_and_data_set() -> None:
    page = (PROJECT / "docs" / "reference" / "study.md").read_text()
    names = [path.rpartition(".")[2] for path in study_diff.of_study()] + list(LAYERS) + list(DATASETS)
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_comments_change_no_value_and_stand_above_every_field_of_the_file(path: Path) -> None:
    text = path.read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert yaml.safe_load("\n".join(lines)) == yaml.safe_load(text)
    said = " ".join(line.strip().removeprefix("# ") for line in text.splitlines() if line.lstrip().startswith("#"))
    given = {path.removeprefix("study.") for path, _ in study_diff._leaves(yaml.safe_load(text), "study.")}
    assert [each for each in given if study_diff.of_study()[each].meaning not in said] == []
    assert Study.load(path).name == path.stem


def test_a_remark_at_a_lines_end_and_a_text_that_looks_like_a_comment_stay() -> None:
    text = "model:\n  - Linear: {out_features: 2}  # few\n# dropped\nschedule: 'first\n\n  # second'\n"
    made = commented(text, "small")
    assert yaml.safe_load(made) == yaml.safe_load(text)
    assert "{out_features: 2}  # few" in made
    assert "dropped" not in made
    assert commented(made, "small") == made


@pytest.mark.parametrize("text", ["- a\n- b\n", "titel: x\n", "nodes: [a]\nrule:\n  strikes: 1\nx: 1\n"])
def test_what_is_no_study_gets_no_comments(text: str) -> None:
    with pytest.raises(InvalidStudy, match="got"):
        commented(text, "small")


def test_the_threat_model_has_every_test_of_an_attack_under_its_attacker() -> None:
    assert list(attacks.TITLES) == list(ATTACKERS)
    overview, *sections = attacks.sections(TESTS).split("### ")
    tried = attacks.numbered(TESTS)
    assert f"{len(tried)} attacks" in overview
    assert len(tried) >= 80
    modules = {file: attacker(file) for file in sorted(ADVERSARY.glob("test_*.py"))}
    assert set(modules.values()) == set(ATTACKERS)
    written = {each.test for each in tried.values()}
    for name, section in zip(ATTACKERS, sections, strict=True):
        title, *lines = section.strip().splitlines()
        assert title == attacks.TITLES[name]
        numbers = [number for number, each in tried.items() if each.attack.by == name]
        assert [
            line.split(" | ")[0] for line in lines if line.startswith(tuple(f"| {number} " for number in numbers))
        ] == [f"| {number}" for number in numbers]
        assert {
            each.name
            for module, by in modules.items()
            if by == name
            for each in ast.parse(module.read_text()).body
            if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
        } <= written


def test_a_rogue_hospital_has_tried_everything_that_stands_between_members() -> None:
    table = attacks.sections(TESTS).split("### ")[0]
    _, _, *rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.count("|") == 4]
    tried = {row[0]: row[2].split(", ") for row in rows}
    assert list(tried) == list(attacks._AGAINST)
    assert all(tried.values())
    numbers = [number for column in tried.values() for number in column]
    hospitals = [number for number, each in attacks.numbered(TESTS).items() if "hospital" in each.attack.by]
    assert sorted(numbers) == sorted(hospitals), "each once"
    assert len(numbers) >= 25


def test_every_word_of_who_can_do_what_has_a_test_behind_it() -> None:
    tried = attacks.numbered(TESTS)
    assert {(each.attack.by, each.attack.to) for each in tried.values()} == set(product(ATTACKERS, AIMS))
    _, _, *rows = table_under(THREATS.read_text(), "Who can change, learn, delay or stop what")
    assert len(rows) > len(ATTACKERS), "a node of three can more than one of four"
    assert [row for row in rows if len(row) != 1 + len(AIMS) or not all(row)] == []


def test_a_word_without_a_test_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test_node.py").write_text(
        '@attack(by="node", to="stop", tries="to win", costs="nothing", seen="it")\ndef test_x(): ...\n'
    )
    with pytest.raises(ValueError, match="got no test of an attack by stranger to change"):
        attacks.sections(tmp_path)


def table_under(page: str, title: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    lines = page.partition(f"## {title}\n")[2].splitlines()
    rows = takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: not line.startswith("|"), lines))
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.parametrize(("by", "to"), [("nobody", "stop"), ("node", "win")])
def test_a_record_of_no_attacker_or_aim_is_refused(by: str, to: str) -> None:
    with pytest.raises(ValueError, match=f"got an attack by '{by}' to '{to}'"):
        Attack(by, to, "to win", "nothing", "it")


def test_records_are_read_with_texts_that_a_module_names(tmp_path: Path) -> None:
    module = tmp_path / "test_node.py"
    record = '@attack(by="node", to="stop", tries="to a | b", costs="nothing", seen=SEEN)'
    module.write_text(f'SEEN = "its name"\n@parametrize("n", [1])\n{record}\ndef test_x_holds(n): ...\n')
    (tried,) = attacks.records(module)
    assert (tried.attack, tried.holds) == (Attack("node", "stop", "to a | b", "nothing", "its name"), "x holds")


@pytest.mark.parametrize("value", ["ELSEWHERE", "str(3)", "3"])
def test_a_record_that_is_no_text_is_refused_with_its_line(value: str, tmp_path: Path) -> None:
    module = tmp_path / "test_node.py"
    module.write_text(
        f'@attack(by="node", to="stop", tries="to win", costs="nothing", seen={value})\ndef test_x(): ...\n'
    )
    with pytest.raises(ValueError, match=r"test_node\.py, line 1: got"):
        attacks.records(module)


def test_a_page_without_a_place_for_the_attacks_is_refused() -> None:
    page = THREATS.read_text()
    with pytest.raises(ValueError, match="got 0 places"):
        attacks.filled(page.replace("<!-- end of attacks -->", ""), TESTS)
