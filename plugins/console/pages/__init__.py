"""One module per job; each has a `router`."""

from __future__ import annotations

from plugins.console.pages import overview, rounds

ROUTERS = (overview.router, rounds.router)
