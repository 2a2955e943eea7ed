"""Every command that docs and messages show exists, with the options and arguments that they give it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser

from pipeline.cli import commands
from tests.support.prose import PROJECT, pages, texts, tracked

_FENCE = re.compile(r"^[ ]*(?:```|~~~)(\w*)[^\n]*\n(.*?)^[ ]*(?:```|~~~)", re.MULTILINE | re.DOTALL)
_SHOWN = re.compile(r"(?:`|<code>)((?:\S*/)?(?:wardround|make|dvc|python) [^`<\n]+?)(?:`|</code>)")
_EITHER = re.compile(r'\{\{ "(\w+)" if [^}]* else "(\w+)" \}\}')
_VALUE = re.compile(r"\{\{.*?\}\}")
_ASSIGNED = re.compile(r"[A-Z_]+=.*")
_WORD = re.compile(r"[\w./~-]+")

SHELLS = ("", "sh", "bash", "console")
"""Languages of a block of commands; in `console` those behind a prompt, in `text` there are none."""

OTHERS = {
    "cd",
    "cp",
    "cat",
    "curl",
    "docker",
    "echo",
    "export",
    "git",
    "kill",
    "ls",
    "mkdir",
    "mv",
    "sed",
    "ssh",
    "sudo",
    "tar",
    "unshare",
    "unzip",
    "uv",
}
"""Programs that are not this repository's, so that nothing is said about their options."""


class Wrong(Exception):
    """What a shown command has that there is not."""


def blocks() -> Iterator[tuple[Path, str]]:
    """Every line of a block of commands, with its page."""
    for page in sorted(
        {*pages()} - {Path("docs/reference/commands.md")}
    ):  # which shows what may be given, made from the commands themselves
        for language, block in _FENCE.findall((PROJECT / page).read_text()):
            if language in SHELLS:
                lines = re.sub(r"\\\n\s*", " ", block).splitlines()
                prompted = [
                    line.strip().removeprefix("$ ")
                    for line in lines
                    if language != "console" or line.strip().startswith("$ ")
                ]
                yield from ((page, line) for line in prompted if line.strip() and not line.startswith("#"))


@cache
def mentioned() -> tuple[tuple[Path, str], ...]:
    """Every command that stands within a sentence, in docs, docstrings, messages and pages of the console.

    Asked for by tests alone: to read all code takes seconds, which every worker would pay as it collects.
    """
    shown = []
    for path, text in texts():
        if path.suffix == ".md":
            text = _FENCE.sub("", text)
        elif path.suffix == ".j2":
            text = _VALUE.sub("VALUE", _EITHER.sub(r"\1|\2", text))
        shown += [(path, command) for command in _SHOWN.findall(text)]
    return tuple(shown)


BLOCKS = list(blocks())


def test_there_are_commands_to_look_at() -> None:
    assert len(BLOCKS) > 20
    assert len(mentioned()) > 50


@pytest.mark.parametrize("page", sorted({page for page, _ in BLOCKS}), ids=str)
def test_a_command_in_a_block_is_whole(page: Path) -> None:
    assert [each for found, line in BLOCKS if found == page and (each := trouble(line, whole=True))] == []


def test_a_command_in_a_sentence_has_no_word_that_is_not_there() -> None:
    assert [f"{path}: {each}" for path, shown in mentioned() if (each := trouble(shown, whole=False))] == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("wardround rond 3", "rond"),
        ("wardround show", "1 more"),
        ("wardround show 3 4", "'4'"),
        ("wardround show 3 --jason", "--jason"),
        ("wardround study", "a command of study"),
        ("wardround commit-directly sepsis 3", "--as"),
        ("wardround study approve sepsis --as", "a value for --as"),
        ("wardround up && make demmo", "demmo"),
        ("dvc rebro", "rebro"),
        ("dvc repro no-such-stage", "no-such-stage"),
        ("python -m benchmarks.nothing", "benchmarks.nothing"),
        ("python -m benchmarks.mpc --quicker", "--quicker"),
        ("python benchmarks/nothing.py", "benchmarks/nothing.py"),
        ("frobnicate 3", "frobnicate"),
    ],
)
def test_what_is_wrong_in_a_command_is_seen(line: str, told: str) -> None:
    with pytest.raises(Wrong, match=re.escape(told)):
        check(line, whole=True)


@pytest.mark.parametrize(
    "line",
    [
        "wardround study approve|withdraw sepsis --as aster",
        "make demo STUDY=pneumonia",
        "dvc repro baselines@pneumonia",
        "cd x && wardround show 3",
    ],
)
def test_what_is_right_in_a_command_passes(line: str) -> None:
    check(line, whole=True)
    check(line, whole=False)


def trouble(line: str, whole: bool) -> str | None:
    """What is wrong with a line, if anything is."""
    try:
        check(line, whole)
    except Wrong as error:
        return f"{line}: {error}"
    return None


def check(line: str, whole: bool) -> None:
    """Raise Wrong for an unknown command, option, target, stage or module in a line.

    What is not `whole` may lack arguments.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&;()")
    lexer.whitespace_split = True
    words: list[str] = []
    for token in [*lexer, ";"]:
        if token and set(token) <= set("&;()"):
            for each in alternatives(words):
                _check(each, whole)
            words = []
        else:
            words.append(token)


def alternatives(words: list[str]) -> list[list[str]]:
    """`study show|approve X` is two commands; a bar between words is a pipe, behind which nothing of ours stands."""
    if "|" in words:
        words = words[: words.index("|")]
    for at, word in enumerate(words):
        if "|" in word and word[0] not in "[{<":
            return [found for each in word.split("|") for found in alternatives([*words[:at], each, *words[at + 1 :]])]
    return [words]


def _check(words: list[str], whole: bool) -> None:
    while words and _ASSIGNED.fullmatch(words[0]):
        words = words[1:]
    if not words:
        return
    name = Path(words[0]).name
    rest = words[1:]
    if name == "wardround":
        _wardround(rest, whole)
    elif name == "make":
        _make(rest)
    elif name == "dvc":
        _dvc(rest, whole)
    elif name.startswith("python"):
        _python(rest)
    elif name not in OTHERS:
        raise Wrong(
            f"got a program {words[0]!r}, want one of ours or of {', '.join(sorted(OTHERS))}; what a command prints is"
            " a block of `text`"
        )


def _wardround(words: list[str], whole: bool) -> None:
    command: Any = typer.main.get_command(commands)
    if words[:1] == ["..."] and not whole:
        return
    while words and hasattr(command, "commands") and _WORD.fullmatch(words[0]) and not words[0].startswith("-"):
        if words[0] not in command.commands:
            raise Wrong(f"got {words[0]!r}, want one of {', '.join(command.commands)}")
        command = command.commands[words[0]]
        words = words[1:]
    if words[:1] == ["--help"]:
        return
    if hasattr(command, "commands"):
        if whole or words:
            raise Wrong(f"got {words}, want a command of {command.name}")
        return
    _arguments(command, words, whole)


def _arguments(command: Any, words: list[str], whole: bool) -> None:
    options = {
        option: each
        for each in command.params
        if each.param_type_name == "option"
        for option in (*each.opts, *each.secondary_opts)
    }
    given = set()
    values = 0
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-") and len(word) > 1:
            name, equals, _ = word.partition("=")
            if name not in options:
                raise Wrong(f"got {name}, want one of {', '.join(options)}")
            option = options[name]
            given.add(option.name)
            if not option.is_flag and not equals and (not rest or rest.pop(0).startswith("--")):
                raise Wrong(f"want a value for {name}")
        else:
            values += 1
            last = word
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    if values > len(arguments) and not any(each.nargs == -1 for each in arguments):
        raise Wrong(f"got {last!r}, want at most {len(arguments)} arguments")
    if whole:
        needed = sum(each.required for each in arguments)
        if values < needed:
            raise Wrong(f"got {values} arguments, want {needed - values} more")
        if missing := [
            each.opts[0]
            for each in command.params
            if each.param_type_name == "option" and each.required and each.name not in given
        ]:
            raise Wrong(f"want {', '.join(missing)}")


def _make(words: list[str]) -> None:
    targets, variables = makefile()
    for word in words:
        name, equals, _ = word.partition("=")
        if name not in (variables if equals else targets) and not name.isupper():
            raise Wrong(f"got {name}, want one of {', '.join(sorted(variables if equals else targets))}")


@cache
def makefile() -> tuple[frozenset[str], frozenset[str]]:
    """Targets, and variables that it reads."""
    text = (PROJECT / "Makefile").read_text()
    return frozenset(re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.MULTILINE)), frozenset(
        re.findall(r"\$\$?[({](\w+)", text)
    )


def _dvc(words: list[str], whole: bool) -> None:
    try:
        asked = get_main_parser().parse_args(words)
    except DvcParserError:
        if whole or len(words) != 1 or words[0] not in ("repro", "metrics", "plots"):
            raise Wrong(f"dvc does not know {' '.join(words)}") from None
        return
    if asked.cmd == "repro" and (missing := {each.partition("@")[0] for each in asked.targets} - stages()):
        raise Wrong(f"got {', '.join(missing)}, want one of {', '.join(sorted(stages()))}")


@cache
def stages() -> frozenset[str]:
    """Stages of every dvc.yaml."""
    files = [path for path in tracked() if path.name == "dvc.yaml"]
    return frozenset(stage for file in files for stage in yaml.safe_load((PROJECT / file).read_text())["stages"])


def _python(words: list[str]) -> None:
    """Modules and scripts of the repository, and that an option's name is in the source of the one that is called."""
    if (
        words[:1] == ["-m"]
        and len(words) > 1
        and words[1].partition(".")[0] in ("pipeline", "benchmarks", "examples", "handbook", "tests", "plugins")
    ):
        if words[1].endswith("…"):
            return
        file = PROJECT.joinpath(*words[1].split("."))
        found = [each for each in (file.with_suffix(".py"), file / "__main__.py") if each.is_file()]
    elif words and words[0].endswith(".py") and "/" in words[0]:
        found = [file for file in [PROJECT / words[0]] if file.is_file()]
    else:
        return
    if not found:
        raise Wrong(f"got {words[:2]}, want a program that is there: {' '.join(words[:2])}")
    source = found[0].read_text()
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        if option not in source and not re.search(rf"\b{option[2:].replace('-', '_')}: ", source):
            raise Wrong(f"{found[0].name} has no option {option}")
