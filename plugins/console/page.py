"""Renders pages: one frame, the links that a person's role may follow, and how figures are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.airflow.accounts import Role
from pipeline.report.render import TEMPLATES
from plugins.console import csrf
from plugins.console.people import Person

HERE = Path(__file__).parent
NOTHING = "–"


@dataclass(frozen=True)
class Link:
    """An entry of the menu."""

    rank: int
    """The menu is in order of it."""
    title: str
    path: str
    """Below the console's mount, with a leading slash."""
    roles: Sequence[Role] = tuple(Role)


_templates = Environment(
    loader=FileSystemLoader([HERE / "templates", TEMPLATES]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(request: Request, template: str, who: Person | None, *, status: int = 200, **content: Any) -> HTMLResponse:
    """The page `template`.html.j2 as `who` may see it."""
    root = request.scope.get("root_path", "")
    links = [link for link in request.app.state.menu if who is not None and who.role in link.roles]
    path = request.url.path.removeprefix(root) or "/"
    page = _templates.get_template(f"{template}.html.j2").render(
        root=root, links=links, path=path, who=who, csrf_token=csrf.token(who.login) if who else "", **content
    )
    return HTMLResponse(page, status)


def percent(share: float | None) -> str:
    """A share of one, as a person reads it."""
    return NOTHING if share is None else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def moment(seconds: int | None) -> str:
    """A block time."""
    return NOTHING if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%-d %b %Y, %H:%M:%S UTC")


def iso(seconds: int) -> str:
    """A block time for machines."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


_templates.filters |= {"percent": percent, "moment": moment, "iso": iso}
