"""`wardround up` where all sites lie on one machine: every folder, every service, and a demonstration's records."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from pipeline.airflow import airflow
from pipeline.errors import Unavailable
from pipeline.services import services
from pipeline.services.services import AIRFLOW
from pipeline.services.supervisor import Supervisor
from pipeline.setup import demonstration, ledger, members, up_steps
from pipeline.setup.members import MemberNames
from pipeline.setup.progress import note, step, transfers
from pipeline.site.consortium import Consortium
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.study.study_files import load_studies


def up(settings: Settings, rpc: str | None) -> Installation:
    """Bring all of it up; the caller holds the installation's lock."""
    studies = load_studies(settings.studies)
    everybody = members.members(studies)
    here = members.of_this_machine(settings, everybody)
    with ThreadPoolExecutor(max_workers=2) as background:
        up_steps.tools(settings, chain=True)
        with step("actors' folders and keys"):
            members.create_actors(settings, here)
            demonstration.configure_hospitals(settings, here.hospitals)
        bars = transfers()
        fetched = background.submit(demonstration.fetch, settings, studies, bars)
        manager = up_steps.manager_of(settings)
        installation = up_steps.addresses(settings, manager, rpc)
        airflow.configure(settings, installation)
        up_steps.start(settings, installation, manager, services.backing(installation))
        launched = background.submit(_launch_airflow, settings, everybody, manager)
        up_steps.store_ready(settings, installation, here)
        with step("chain and ledger"):
            location = up_steps.ledger_ready(settings, installation)
            consortium = members.publish(settings, everybody, location, members.on_this_machine(settings, installation))
            ledger.establish(settings, installation, consortium, studies)
        with bars:
            wait([fetched])
        with step("records dealt to the demonstration's hospitals, studies approved by their owners"):
            _demonstrate(settings, installation, consortium, studies, fetched)
        up_steps.programs_ready(settings, studies)
        up_steps.airflow_ready(settings, installation, manager, studies, launched)
    return installation


def _demonstrate(
    settings: Settings,
    installation: Installation,
    consortium: Consortium,
    studies: Mapping[str, Study],
    fetched: Future[None],
) -> None:
    if lacking := demonstration.deal_records(settings, studies):
        why = _trouble(fetched) or "; ".join(dict.fromkeys(lacking.values()))
        note(f"no records for {', '.join(lacking)}: {why}")
    demonstration.approve(settings, consortium, studies)
    demonstration.publish_consents(settings, installation, studies)


def _trouble(fetched: Future[None]) -> str | None:
    """Why not all came that publishers have."""
    try:
        fetched.result()
    except Unavailable as error:
        return str(error)
    return None


def _launch_airflow(settings: Settings, everybody: MemberNames, manager: Supervisor) -> None:
    airflow.prepare(settings, airflow.users(everybody.hospitals))
    for name in AIRFLOW:
        manager.launch(name)
