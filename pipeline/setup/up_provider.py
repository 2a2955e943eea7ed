"""`wardround up` at the service provider's site: what all sites call, and a worker for the provider's own steps."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from pipeline.airflow import airflow, postgres
from pipeline.services import health, services
from pipeline.services.services import AIRFLOW, DATABASE, FRONT, WORKER
from pipeline.services.supervisor import Supervisor
from pipeline.setup import ledger, members, sites, up_steps
from pipeline.setup.members import MemberNames
from pipeline.setup.progress import note, step
from pipeline.site import certificates
from pipeline.site.consortium import Consortium
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.study.study_files import load_studies

_NOBODY = MemberNames((), ())
"""Members' keys and records lie on their own machines."""


def up(settings: Settings, rpc: str | None) -> Installation:
    """Bring it up, and take in what members did since; the caller holds the installation's lock."""
    studies = load_studies(settings.studies)
    with ThreadPoolExecutor(max_workers=1) as background:
        up_steps.tools(settings, chain=_needs_chain(settings, rpc))
        with step("keys, certificate and database"):
            members.create_actors(settings, _NOBODY)
            if sites.prepare_provider(settings):
                note("the front has a new certificate under the same authority; members notice nothing")
            postgres.prepare(settings)
        manager = up_steps.manager_of(settings)
        installation = up_steps.addresses(settings, manager, rpc)
        airflow.configure(settings, installation, services.public(settings))
        airflow.configure_worker(settings, running=WORKER in up_steps.running(manager))
        up_steps.start(settings, installation, manager, (DATABASE, *services.backing(installation)))
        launched = background.submit(_launch_airflow, settings, manager)
        up_steps.store_ready(settings, installation, _NOBODY)
        with step("chain and ledger"):
            consortium = _consortium(settings, installation)
            if absent := ledger.authorise_hospitals(settings, installation, consortium):
                note(f"{', '.join(absent)} not on the ledger yet: `up` there, then `wardround up` here once more")
            for study in ledger.register_studies(settings, installation, consortium, complete(studies, consortium)):
                note(f"study {study} is on the ledger; its owners approve it at their sites")
        up_steps.airflow_ready(settings, installation, manager, studies, launched)
        with step("front"):
            front = services.public(settings)
            authority = settings.provider / certificates.TLS / certificates.AUTHORITY
            health.wait("the front", lambda: health.front(front, authority), up_steps.START_SECONDS)
        # Only now: what finds nobody to ask starts anew, which takes longer.
        manager.launch(WORKER)
        up_steps.worker_ready(settings, manager)
    return installation


def _needs_chain(settings: Settings, rpc: str | None) -> bool:
    if Installation.is_made(settings.installation):
        return Installation.load(settings.installation).development_chain
    return rpc is None


def _launch_airflow(settings: Settings, manager: Supervisor) -> None:
    health.wait("PostgreSQL", lambda: postgres.trouble(settings), up_steps.START_SECONDS)
    # Members' people register in the console.
    airflow.prepare(settings, airflow.users(()))
    for name in (*AIRFLOW, FRONT):
        manager.launch(name)


def _consortium(settings: Settings, installation: Installation) -> Consortium:
    """The members' file; the first one names the ledger and nobody, and invitations fill it from cards."""
    location = up_steps.ledger_ready(settings, installation)
    if not settings.consortium.exists():
        Consortium(ledger=location, hospitals={}, nodes={}).save(settings.consortium)
    return Consortium.load(settings.consortium)


def complete(studies: Mapping[str, Study], consortium: Consortium) -> Mapping[str, Study]:
    """The studies whose nodes are all known; the ledger binds a study to their keys."""
    return {name: study for name, study in studies.items() if set(study.nodes) <= set(consortium.nodes)}
