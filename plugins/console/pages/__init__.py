"""One module per job; each has a `router`."""

from __future__ import annotations

from plugins.console.pages import check, hospital, log, overview, people, predict, profile, register, rounds, studies

ROUTERS = (
    *(overview.router, rounds.router, studies.router, hospital.router, check.router, predict.router),
    *(register.router, people.router, profile.router, log.router),
)
