"""What the pages' elements are called, their style sheet knows: an interval without a colour is not seen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.site.settings import PROJECT

CONSOLE = PROJECT / "plugins" / "console"
SHARED = PROJECT / "pipeline" / "report" / "templates" / "measures.html.j2"
TEMPLATES = [*sorted((CONSOLE / "templates").glob("*.j2")), SHARED]

_COMPUTED = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_class_of_a_template_has_a_style(template: Path) -> None:
    style = (CONSOLE / "static" / "console.css").read_text()
    named = re.findall(r'class="([^"]*)"', _COMPUTED.sub(" ", template.read_text()))
    classes = {name for names in named for name in names.split()}
    assert [name for name in sorted(classes) if not re.search(rf"\.{re.escape(name)}\b", style)] == []


def test_templates_have_classes() -> None:
    assert sum(template.read_text().count('class="') for template in TEMPLATES) > 100
