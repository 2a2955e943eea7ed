"""The provider's last step: report a round that ended and write it into the study repository."""

from __future__ import annotations

from pipeline.audit.publish import publish, publish_aborted
from pipeline.audit.repository import Remote
from pipeline.domain import RoundId, RoundStatus
from pipeline.errors import RoundAborted
from pipeline.installation import Installation
from pipeline.roles.desk import Sitting, provider_desk
from pipeline.settings import Settings


def record(study: str, round_id: RoundId, settings: Settings | None = None) -> None:
    """Post the round's report, commit it to the study repository, with its models; raises RoundAborted when there is no model."""
    desk = provider_desk(study, settings)
    sitting = Sitting.join(desk, round_id, RoundStatus.FINALISED, RoundStatus.ABORTED)
    remote = Remote(Installation.load(desk.settings.installation).store, desk.identity.credentials)
    if sitting.state.status is RoundStatus.ABORTED:
        publish_aborted(round_id, desk.ledger, desk.board.store, desk.study, desk.settings.records, remote)
        raise RoundAborted(f"round {round_id}: aborted on the ledger; model {sitting.previous_model[:16]} stays current")
    study_file = (desk.settings.studies / f"{study}.yaml").read_bytes()
    publish(round_id, desk.ledger, desk.board.store, desk.study, study_file, desk.settings.records, remote)
