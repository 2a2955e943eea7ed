"""The provider's last step: report a round that ended and write it into the study repository."""

from __future__ import annotations

from pipeline.domain import RoundId, RoundStatus
from pipeline.errors import RoundAborted
from pipeline.round.worker import RoundContext, provider_worker
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.study_repository.publish import publish, publish_aborted
from pipeline.study_repository.repository import Remote


def record(study: str, round_id: RoundId, settings: Settings | None = None) -> None:
    """Post the round's report, and commit it with its models to the study repository.

    Raises RoundAborted when there is no model.
    """
    worker = provider_worker(study, settings)
    ctx = RoundContext.join(worker, round_id, RoundStatus.FINALISED, RoundStatus.ABORTED)
    services = Installation.load(worker.settings.installation)
    remote = Remote(services.store, worker.identity.credentials, services.authority)
    if ctx.state.status is RoundStatus.ABORTED:
        publish_aborted(round_id, worker.ledger, worker.board.store, worker.study, worker.settings.records, remote)
        raise RoundAborted(f"round {round_id}: aborted on the ledger; model {ctx.previous_model[:16]} stays current")
    study_file = (worker.settings.studies / f"{study}.yaml").read_bytes()
    publish(round_id, worker.ledger, worker.board.store, worker.study, study_file, worker.settings.records, remote)
