"""One name, one meaning: no public class of the product is called as another."""

from __future__ import annotations

import ast
from collections import defaultdict

from pipeline.site.settings import PROJECT


def test_no_two_public_classes_have_one_name() -> None:
    modules = defaultdict[str, list[str]](list)
    for file in (file for folder in ("pipeline", "plugins", "dags") for file in PROJECT.glob(f"{folder}/**/*.py")):
        for node in ast.parse(file.read_bytes()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules[node.name].append(str(file.relative_to(PROJECT)))
    assert len(modules) > 100
    assert {name: files for name, files in modules.items() if len(files) > 1} == {}
