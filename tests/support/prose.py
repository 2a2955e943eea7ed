"""What people read in this repository: its pages, and comments and docstrings of its code."""

from __future__ import annotations

import ast
import functools
import io
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent
_TEXTS = (".md", ".yaml", ".yml", ".toml", ".j2", ".sol", ".mpc", ".in")


@functools.cache
def tracked() -> tuple[Path, ...]:
    """Files of the repository, committed or about to be, relative to it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    return tuple(path for path in map(Path, sorted(listed.splitlines())) if (PROJECT / path).is_file())


def texts() -> Iterator[tuple[Path, str]]:
    """Files that say something about others, with what they say: of Python what people read, no code."""
    for path in tracked():
        if path.suffix == ".py":
            yield path, said((PROJECT / path).read_text(), messages=path.parts[0] != "tests")
        elif path.suffix in _TEXTS or path.name == "Makefile":
            yield path, (PROJECT / path).read_text()


def pages() -> tuple[Path, ...]:
    """Markdown files."""
    return tuple(path for path in tracked() if path.suffix == ".md")


def said(source: str, messages: bool) -> str:
    """Comments and docstrings of Python source; with `messages` all other texts too, which in tests may name what was never there."""
    found = [token.string for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.COMMENT]
    for node in ast.walk(ast.parse(source)):
        if messages and isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(ast.get_docstring(node) or "")
    return "\n".join(found)
