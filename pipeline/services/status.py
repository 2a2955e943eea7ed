"""What runs of this installation, and whether it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from pipeline.airflow import airflow, postgres
from pipeline.services import health, services
from pipeline.services.services import AIRFLOW, CHAIN, DATABASE, FRONT, NAMES, STORE, WATCH, WORKER
from pipeline.site import certificates
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.site.site import Site


class ServiceRow(TypedDict):
    """One service."""

    service: str
    process: str
    """The process manager's word: running, stopped, starting, backoff, fatal; or elsewhere."""
    address: str
    healthy: bool
    trouble: str


def report(settings: Settings) -> list[ServiceRow]:
    """Every service of this site, and at a member's those of the provider that it calls.

    Where nothing was set up yet, what will run here, all absent; at an auditor's, where nothing runs, what it calls.
    """
    site = Site.load(settings)
    here = (*services.names(site), *services.watching(settings))
    if not Installation.is_made(settings.installation):
        return [
            ServiceRow(service=name, process="absent", address="", healthy=False, trouble="run `wardround up`")
            for name in services.names(site) or NAMES
        ]
    shown = list(dict.fromkeys([*here, *NAMES]))
    installation = Installation.load(settings.installation)
    elsewhere = set(shown) - set(here) | (set() if installation.development_chain else {CHAIN})
    states = services.supervisor(settings).states()
    troubles: dict[str, str | None] = dict.fromkeys(here, "stopped; run `wardround up`")
    if states or elsewhere:
        troubles |= {
            name: trouble
            for name, trouble in health.every(installation, health.stored_chain_id(settings)).items()
            if states or name in elsewhere
        }
    if states:
        troubles |= _site_troubles(settings, here)
    addresses = {STORE: installation.store, CHAIN: installation.rpc, AIRFLOW[0]: installation.airflow}
    if FRONT in here:
        addresses[FRONT] = services.public(settings)
    return [
        ServiceRow(
            service=name,
            process="elsewhere" if name in elsewhere else states.get(name, "stopped").lower(),
            address=addresses.get(name, ""),
            healthy=troubles[name] is None,
            trouble=troubles[name] or "",
        )
        for name in shown
    ]


def _site_troubles(settings: Settings, here: tuple[str, ...]) -> Mapping[str, str | None]:
    """Of what runs only where members have sites of their own."""
    troubles: dict[str, str | None] = {}
    if DATABASE in here:
        troubles[DATABASE] = postgres.trouble(settings)
    if FRONT in here:
        authority = settings.provider / certificates.TLS / certificates.AUTHORITY
        troubles[FRONT] = health.front(services.public(settings), authority)
    pids = services.supervisor(settings).pids()
    if WORKER in here:
        troubles[WORKER] = airflow.worker_trouble(settings, pids.get(WORKER))
    if WATCH in here:
        troubles[WATCH] = None if WATCH in pids else "the watch does not run; run `wardround up`"
    return troubles
