"""One module per job; each has a `router`."""

from __future__ import annotations

from plugins.console.pages import log, overview, people, profile, register, rounds

ROUTERS = (overview.router, rounds.router, register.router, people.router, profile.router, log.router)
