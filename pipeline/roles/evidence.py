"""The ledger and the store as an auditor of this installation reads them."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.audit import audit as audits
from pipeline.audit import report
from pipeline.audit.audit import AuditReport
from pipeline.audit.dossier import Dossier, gather
from pipeline.audit.rollback import refuse_forgotten
from pipeline.audit.summary import RoundSummary, dossiers, summary
from pipeline.chain.ledger import Ledger, study_id
from pipeline.consortium import Consortium
from pipeline.domain import RoundId
from pipeline.identity import StoreCredentials
from pipeline.installation import Installation
from pipeline.settings import Settings
from pipeline.store.objects import Store
from pipeline.study import Study


@dataclass(frozen=True)
class Evidence:
    """Reading access to the ledger and the store; no key of any actor."""

    ledger: Ledger
    store: Store
    names: dict[str, str]
    """Study id on the ledger to its name, for studies that this checkout knows."""

    @classmethod
    def open(cls, settings: Settings) -> Evidence:
        """Connect with the auditor's credentials; raises Misconfigured or Unavailable saying what to start."""
        installation = Installation.load(settings.installation)
        return cls(
            ledger=Ledger.connect(installation.rpc, Consortium.load(settings.consortium).ledger),
            store=Store(installation.store, StoreCredentials.load(settings.auditor / "store-credentials.json")),
            names={study_id(file.stem): file.stem for file in settings.studies.glob("*.yaml")},
        )

    def dossiers(self, study: Study | None = None) -> list[Dossier]:
        """Every round, of one study or of all, oldest first."""
        states = self.ledger.rounds(study_id(study.name) if study else None)
        return dossiers(states, self.ledger, self.store, self.names)

    def summaries(self) -> list[RoundSummary]:
        """Every round in one line, oldest first."""
        return [summary(dossier) for dossier in self.dossiers()]

    def dossier(self, round_id: RoundId) -> Dossier:
        """One round; raises EvidenceRejected when the ledger has none of that number, or its record does not hold."""
        return gather(self.ledger.round(round_id), self.ledger, self.store, self.names)

    def page(self, round_id: RoundId, settings: Settings) -> str:
        """The page of a round that ended, as its report has it; raises Refused of one that has not, EvidenceRejected."""
        mine = self.dossier(round_id)
        study = Study.load(settings.studies / f"{mine.study}.yaml") if mine.study in self.names.values() else None
        title = study.title if study else mine.study or "a study unknown here"
        if mine.record is None:
            return report.render_aborted(mine, study.hospitals if study else (), title)
        states = [state for state in self.ledger.rounds(self.ledger.round(round_id).study) if state.round <= round_id]
        history = [summary(dossier) for dossier in dossiers(states, self.ledger, self.store, self.names)]
        return report.render(mine, history, title).html.decode()

    def audit(self, round_id: RoundId) -> AuditReport:
        """Audit one round; raises Refused when the ledger has forgotten a later one."""
        refuse_forgotten(self.ledger, self.store)
        return audits.audit(round_id, self.ledger, self.store)
