"""One module per job, found by its file: each has a `router` and, where the menu leads to it, a `LINK`."""

from __future__ import annotations

import importlib
import pkgutil

from plugins.console.page import Link

_PAGES = [importlib.import_module(f"{__name__}.{page.name}") for page in pkgutil.iter_modules(__path__)]

ROUTERS = tuple(page.router for page in _PAGES)

MENU: tuple[Link, ...] = tuple(
    sorted((page.LINK for page in _PAGES if hasattr(page, "LINK")), key=lambda link: link.rank)
)
"""What a person reaches from the menu, in its order; to the profile leads the person's own name beside it."""
