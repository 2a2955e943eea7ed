"""Whatever docs, docstrings and messages name is there: files, decisions, modules, links and their anchors."""

from __future__ import annotations

import ast
import re
import unicodedata
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.support.prose import PROJECT, pages, texts, tracked

FOLDERS = sorted({path.parts[0] for path in tracked() if len(path.parts) > 1 and not path.parts[0].startswith(".")})

ELSEWHERE = {"compile.py", *(f"studies/{name}.yaml" for name in ("sepsis", "lesions", "scans", "stays"))}
"""MP-SPDZ's compiler, and files that a reader of tutorials and walks writes."""

_PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*[\w*](?![\w{{<])")
_SOURCE = re.compile(r"(?<![\w./*{}<>$@-])(?:\w[\w-]*/)*\w[\w-]*\.(?:py|md|sol|mpc)\b(?!\.)")
_DECISION = re.compile(r"(?:\bADRs? |\b[Dd]ecision |adr/(?=\d{4}-))0*(\d+)")
_MODULE = re.compile(r"(?<![\w./@-])(?:pipeline|plugins|benchmarks|examples|handbook|dags|tests)(?:\.[A-Za-z_]\w*)+")
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)|!\[[^\]\n]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.*?)(?: *\{#([\w-]+)\})?$", re.MULTILINE)


def elsewhere(name: str) -> bool:
    """Whether a file is not ours, or one that somebody has yet to name: `NAME.py`, `NNNN-title.md`."""
    return name in ELSEWHERE or re.search(r"\b(NAME|NNNN)\b", name) is not None


def absent_path(found: re.Match[str]) -> bool:
    """No file or folder has that path, which may hold `*`."""
    return not elsewhere(found[0]) and not any(PROJECT.glob(found[0]))


def absent_source(found: re.Match[str]) -> bool:
    """No path of the repository ends so; a module's dotted name may look like a program's."""
    return not elsewhere(found[0]) and found[0] not in _ends() and not defined(found[0])


def absent_decision(found: re.Match[str]) -> bool:
    """No decision has that number."""
    return not any((PROJECT / "docs" / "adr").glob(f"{int(found[1]):04}-*.md"))


def absent_module(found: re.Match[str]) -> bool:
    """No module has that name, or nothing in it."""
    return not defined(found[0])


KINDS = {
    "path": (_PATH, absent_path),
    "source": (_SOURCE, absent_source),
    "decision": (_DECISION, absent_decision),
    "module": (_MODULE, absent_module),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_named_is_there(kind: str) -> None:
    pattern, absent = KINDS[kind]
    found = [(path, each) for path, text in texts() for each in pattern.finditer(text)]
    assert len(found) > 10
    assert [f"{path}: {each[0]}" for path, each in found if absent(each)] == []


@pytest.mark.parametrize(
    ("kind", "there", "absent"),
    [
        ("path", "see docs/adr/index.md.", "see docs/adr/indices.md."),
        ("path", "`pipeline/mpc/*.py`", "`pipeline/mpc/*.pyx`"),
        ("source", "`audit/history.py`", "`audit/histories.py`"),
        ("source", "(settings.py)", "(setting-up.py)"),
        ("decision", "as docs/adr/0007-large-models.md says", "as docs/adr/0099-larger-models.md says"),
        ("decision", "since ADR 9", "since ADR 99"),
        ("module", "`pipeline.evidence.randomness`", "`pipeline.mpc.randomness`"),
        ("module", "`pipeline.study.study.Study.load`", "`pipeline.study.study.Study.unload`"),
    ],
)
def test_what_is_not_there_is_told_from_what_is(kind: str, there: str, absent: str) -> None:
    pattern, missing = KINDS[kind]
    assert [missing(found) for found in pattern.finditer(there)] == [False]
    assert [missing(found) for found in pattern.finditer(absent)] == [True]


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    dangling = []
    for found in _LINK.finditer(_FENCE.sub("", (PROJECT / page).read_text())):
        link = unquote(found[1] or found[2])
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (PROJECT / page.parent / name) if name else PROJECT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dangling.append(link)
    assert dangling == []


@cache
def _ends() -> frozenset[str]:
    """Every file's path and what it ends with."""
    return frozenset("/".join(path.parts[start:]) for path in tracked() for start in range(len(path.parts)))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Anchors of a page's headings as mkdocs and GitHub make them; given ones stand beside the heading."""
    found = set()
    for heading, given in _HEADING.findall(_FENCE.sub("", page.read_text())):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        letters = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode().lower()
        words = re.sub(r"[^\w\s-]", "", letters).strip()
        found |= {given or re.sub(r"[-\s]+", "-", words), words.replace(" ", "-")}
    return frozenset(found)


@cache
def defined(dotted: str) -> bool:
    """Whether a dotted name is a module of this repository, or something that one defines."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        file = PROJECT.joinpath(*parts[:end])
        for source in (file.with_suffix(".py"), file / "__init__.py"):
            if source.is_file():
                return end == len(parts) or within(ast.parse(source.read_text()), parts[end:])
        if file.is_dir() and end == len(parts):
            return True
    return False


def within(tree: ast.AST, names: list[str]) -> bool:
    """Whether a module or class defines or imports the first name, and that the next; what is no class has any."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and node.name == names[0]:
            return len(names) == 1 or within(node, names[1:])
        if names[0] in bound(node):
            return True
    return False


def bound(node: ast.AST) -> set[str]:
    """Names that a statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
