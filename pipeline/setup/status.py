"""What runs of this installation, and whether it answers."""

from __future__ import annotations

from typing import TypedDict

from pipeline.setup import health, services
from pipeline.setup.services import AIRFLOW, CHAIN, NAMES, STORE
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings


class ServiceRow(TypedDict):
    """One service."""

    service: str
    process: str
    """The process manager's word: running, stopped, starting, backoff, fatal."""
    address: str
    healthy: bool
    trouble: str


def report(settings: Settings) -> list[ServiceRow]:
    """Every service with its state; all are stopped where nothing was set up yet."""
    if not Installation.is_made(settings.installation):
        return [
            ServiceRow(service=name, process="absent", address="", healthy=False, trouble="run `wardround up`")
            for name in NAMES
        ]
    installation = Installation.load(settings.installation)
    states = services.supervisor(settings).states()
    troubles = (
        health.every(installation, health.stored_chain_id(settings))
        if states
        else dict.fromkeys(NAMES, "stopped; run `wardround up`")
    )
    addresses = {STORE: installation.store, CHAIN: installation.rpc, AIRFLOW[0]: installation.airflow}
    return [
        ServiceRow(
            service=name,
            process="elsewhere"
            if name == CHAIN and not installation.development_chain
            else states.get(name, "stopped").lower(),
            address=addresses.get(name, ""),
            healthy=troubles[name] is None,
            trouble=troubles[name] or "",
        )
        for name in NAMES
    ]
