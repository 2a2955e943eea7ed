"""The ledger and the store as an auditor of this installation reads them."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.audit import audit_round as audits
from pipeline.audit.audit_round import AuditReport
from pipeline.audit.rollback import refuse_forgotten
from pipeline.chain.ledger import Ledger, study_id
from pipeline.domain import RoundId, Sha256
from pipeline.model_file import Model, read_model
from pipeline.report import render
from pipeline.report.round_list import RoundSummary, summary, views
from pipeline.report.round_view import RoundView, gather
from pipeline.site.consortium import Consortium
from pipeline.site.identity import STORE_CREDENTIALS, StoreCredentials
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.site.site import Site
from pipeline.store import object_keys
from pipeline.store.bulletin_board import BulletinBoard
from pipeline.store.objects import Store
from pipeline.study.study import Study
from pipeline.study.study_files import study_names


@dataclass(frozen=True)
class Observer:
    """Reading access to the ledger and the store; no key of any actor."""

    ledger: Ledger
    store: Store
    names: dict[str, str]
    """Study id on the ledger to its name, for studies that this checkout knows."""

    @classmethod
    def open(cls, settings: Settings) -> Observer:
        """Connect with the auditor's credentials, on a member's own machine with the member's.

        Raises Misconfigured or Unavailable saying what to start.
        """
        installation = Installation.load(settings.installation)
        return cls(
            ledger=Ledger.connect(
                installation.rpc, Consortium.load(settings.consortium).ledger, installation.authority
            ),
            store=Store(
                installation.store,
                StoreCredentials.load(Site.reading(settings) / STORE_CREDENTIALS),
                installation.authority,
            ),
            names={study_id(name): name for name in study_names(settings.studies)},
        )

    def views(self, study: Study | None = None) -> list[RoundView]:
        """Every round, of one study or of all, oldest first."""
        states = self.ledger.rounds(study_id(study.name) if study else None)
        return views(states, self.ledger, self.store, self.names)

    def summaries(self) -> list[RoundSummary]:
        """Every round in one line, oldest first."""
        return [summary(view) for view in self.views()]

    def view(self, round_id: RoundId) -> RoundView:
        """One round; raises EvidenceRejected when the ledger has none of that number, or its record does not hold."""
        return gather(self.ledger.round(round_id), self.ledger, self.store, self.names)

    def model(self, digest: Sha256) -> Model:
        """The model of that digest, with the scale of its inputs where its study measured one."""
        return read_model(BulletinBoard(self.store).fetch(object_keys.model(), digest))

    def page(self, round_id: RoundId, settings: Settings) -> str:
        """The page of a round that ended, as its report has it.

        Raises Refused when the round has not ended, EvidenceRejected when the report does not hold.
        """
        mine = self.view(round_id)
        study = Study.load(settings.studies / f"{mine.study}.yaml") if mine.study in self.names.values() else None
        title = study.title if study else mine.study or "a study unknown here"
        if mine.record is None:
            return render.render_aborted(mine, study.hospitals if study else (), title)
        state = self.ledger.round(round_id)
        line = self.ledger.line(state.study)
        before = line[: [one.round for one in line].index(round_id) + 1]
        history = [summary(view) for view in views(before, self.ledger, self.store, self.names)]
        return render.render(mine, history, title).html.decode()

    def audit(self, round_id: RoundId) -> AuditReport:
        """Audit one round; raises Refused when the ledger has forgotten a later one."""
        refuse_forgotten(self.ledger, self.store)
        return audits.audit(round_id, self.ledger, self.store)
