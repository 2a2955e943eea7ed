"""`wardround up` at a member's site: a worker that asks the provider for its own steps; nothing listens for it."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.airflow import admission, airflow
from pipeline.chain.ledger import Ledger
from pipeline.consent import approval, consent_log
from pipeline.errors import Misconfigured, NotApproved
from pipeline.round import restored
from pipeline.services import health
from pipeline.services.services import WORKER
from pipeline.setup import ledger, up_steps
from pipeline.setup.progress import note, step
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.site.site import Site, SiteRole
from pipeline.store.objects import Store
from pipeline.study.study import Study
from pipeline.study.study_files import load_studies


def up(site: Site, settings: Settings) -> Installation:
    """Bring it up; the caller holds the installation's lock. Raises Misconfigured before the site has joined."""
    if not settings.invitation.exists():
        raise Misconfigured(
            f"{settings.home}: got a site that has not joined: hand {settings.card} to the provider, then `wardround"
            " site join FILE` with the invitation that comes back"
        )
    installation = up_steps.write_folders(settings)
    if site.role is SiteRole.AUDITOR:
        _reach(settings, installation)
    else:
        _work(site, settings, installation)
    return installation


def _work(site: Site, settings: Settings, installation: Installation) -> None:
    with step("the provider's Airflow"):
        admission.require(settings, installation, site.queue, up_steps.START_SECONDS)
    studies = _own(site, load_studies(settings.studies))
    manager = up_steps.manager_of(settings)
    airflow.configure_worker(settings, running=WORKER in up_steps.running(manager))
    up_steps.start(settings, installation, manager, [WORKER])
    _reach(settings, installation)
    with step("ledger and decisions"):
        consortium = Consortium.load(settings.consortium)
        # Of this machine's hospitals, so at a node of none.
        ledger.register_hospitals(settings, installation, consortium)
        owner = Identity.load(site.folder(settings))
        store = Store(installation.store, owner.credentials, installation.authority)
        if restored.waits(owner.home):
            _take_up(owner, store, installation, consortium, studies)
        for study in studies.values():
            consent_log.publish(store, owner, study)
    if site.role is SiteRole.NODE:
        up_steps.programs_ready(settings, studies)
    up_steps.worker_ready(settings, manager)
    # An approval is the owner's own act, and no start of services.
    for study in studies.values():
        if lacking := up_steps.unknown(study, consortium):
            note(f"study {study.name} waits for the cards of {', '.join(lacking)}")
        elif _waits_for_owner(owner, study, consortium):
            note(
                f"study {study.name} waits for its owner: read it with `wardround study show {study.name}`, then"
                f" `wardround study approve {study.name}`"
            )


def _own(site: Site, studies: Mapping[str, Study]) -> Mapping[str, Study]:
    return {name: study for name, study in studies.items() if site.name in (*study.hospitals, *study.nodes)}


def _take_up(
    owner: Identity, store: Store, installation: Installation, consortium: Consortium, studies: Mapping[str, Study]
) -> None:
    """What a site that was restored asks before anything else: where rounds stand, and what its owner decided since."""
    connected = Ledger.connect(installation.rpc, consortium.ledger, installation.authority)
    last = restored.last_refused(owner.home, connected)
    since = sum(consent_log.recover(store, owner, study, consortium) for study in studies.values())
    note(f"restored from a backup: takes part after round {last}; {since} of its owner's decisions came from the store")


def _waits_for_owner(owner: Identity, study: Study, consortium: Consortium) -> bool:
    """Whether the owner has not decided, or a consent is not in force that he never took back."""
    digest = study.digest(consortium)
    try:
        approval.require(owner, study.name, digest, consortium.ledger)
    except NotApproved:
        return approval.given(owner, study.name, digest, consortium.ledger) is not False
    return False


def _reach(settings: Settings, installation: Installation) -> None:
    """Wait for what the site calls at the provider."""
    with step("the provider's store and chain"):
        health.wait("the provider's store", lambda: health.store(installation), up_steps.START_SECONDS)
        up_steps.chain_ready(settings, installation)
