"""What people read in this repository: its pages, and comments and docstrings of its code."""

from __future__ import annotations

import ast
import functools
import io
import subprocess
import tokenize
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent
_TEXTS = (".md", ".py", ".yaml", ".yml", ".toml", ".j2", ".sol", ".mpc", ".in")


@functools.cache
def tracked() -> tuple[Path, ...]:
    """Files of the repository, committed or about to be, relative to it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    return tuple(path for path in map(Path, sorted(listed.splitlines())) if (PROJECT / path).is_file())


@functools.cache
def texts() -> tuple[tuple[Path, str], ...]:
    """Files that say something about others, with what they say: of Python what people read, no code."""
    read = [
        (path, (PROJECT / path).read_text()) for path in tracked() if path.suffix in _TEXTS or path.name == "Makefile"
    ]
    return tuple(
        (path, said(text, messages=path.parts[0] != "tests") if path.suffix == ".py" else text) for path, text in read
    )


def pages() -> tuple[Path, ...]:
    """Markdown files."""
    return tuple(path for path in tracked() if path.suffix == ".md")


def said(source: str, messages: bool) -> str:
    """Comments and docstrings of Python source.

    With `messages` all other texts too, which in tests may name what was never there.
    """
    found = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(source)):
        if messages and isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(ast.get_docstring(node) or "")
    return "\n".join(found)
