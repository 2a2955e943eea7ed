"""An installation with every actor of a consortium, and studies on it as tests need them: whatever its services are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.audit.audit_round import AuditReport, audit
from pipeline.chain.ledger import Ledger, study_id
from pipeline.chain.outbox import Outbox
from pipeline.domain import HospitalName, Kind, NodeName, RoundId, Sha256, Statement
from pipeline.round.journal import Journal
from pipeline.round.worker import RoundContext, hospital_worker, node_worker
from pipeline.services import servers
from pipeline.setup import demonstration, ledger, members
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.store import object_keys
from pipeline.store.bulletin_board import BulletinBoard
from pipeline.store.objects import Store
from pipeline.study.study import Study
from tests.support.rounds import Play
from tests.support.thresholds import FOR_FEW_SAMPLES

HOSPITALS = tuple(map(HospitalName, ("aster", "birch", "cedar", "dahlia", "elm", "fern", "gorse", "hazel", "iris")))
NODES = tuple(map(NodeName, ("north", "east", "west", "south")))

STUDY: Mapping[str, Any] = {
    "title": "A study of the tests",
    "dataset": "breast_cancer",
    "hospitals": list(HOSPITALS[:5]),
    "nodes": list(NODES[:3]),
    "engine": "spu",
    "protocol": "aby3",
    "model": [{"Linear": {"out_features": 2}}],
    "training": {"steps": 4, "batch_size": 16},
    "rule": {"images_per_hospital": 6, **FOR_FEW_SAMPLES},
    "partition": {"alpha": 100.0, "per_class": 12},
    "deadlines": {"commit_seconds": 600, "result_seconds": 900},
    "seed": 3,
}
"""Logistic regression: the smallest model that takes every step of a round."""

EVERYBODY = {"hospitals": list(HOSPITALS), "nodes": list(NODES), "engine": "mp-spdz", "protocol": "rep4-ring"}
"""The study by which set-up learns of all members; no round of it is run."""


class Installed(ABC):
    """`settings.home` holds all that the actors write."""

    settings: Settings
    services: Installation
    members: Consortium
    ledger: Ledger

    def play(self, name: str, **changes: Any) -> Play:
        """A new study, approved by all of its owners, with no round yet."""
        study = Study.load(self._write(name, changes))
        ledger.register_studies(self.settings, self.services, self.members, {name: study})
        self.approve(study)
        return Play(name, self.settings)

    def approve(self, study: Study) -> None:
        """Consent of every owner to the study as it and the members' file now are."""
        demonstration.approve(self.settings, Consortium.load(self.settings.consortium), {study.name: study})

    def store(self, home: Path | None = None) -> Store:
        """The store as the actor of a folder sees it; without one as its operator does."""
        credentials = Identity.load(home).credentials if home else servers.root_account(self.settings)
        return Store(self.services.store, credentials)

    def board(self, home: Path | None = None) -> BulletinBoard:
        """Like `store`, by place."""
        return BulletinBoard(self.store(home))

    def said(self, round_id: RoundId, kind: Kind, signer: HospitalName | NodeName) -> Statement:
        """The one statement in its signer's place, whoever signed it."""
        return self.board().only(round_id, kind, signer, lambda statement: None)

    def manifests(self, play: Play, round_id: RoundId) -> dict[HospitalName, Sha256]:
        """Each hospital to the digest of the one manifest in its place."""
        places = {name: object_keys.statement(round_id, Kind.MANIFEST, name) for name in play.study.hospitals}
        return {name: self.board().digests(place)[0] for name, place in places.items()}

    def verified(
        self, play: Play, round_id: RoundId, accepted: Iterable[HospitalName], nodes: Iterable[NodeName] | None = None
    ) -> None:
        """Let these nodes, or all, have journalled that a verification accepted these hospitals and no other."""
        revealed = {
            "accepted": list(accepted),
            "budget": 1,
            "inputs": self.manifests(play, round_id),
            "absent": {},
            "failed": {},
            "tested": {},
            "broke": [],
            "programs": "ab" * 32,
        }
        for node in play.study.nodes if nodes is None else nodes:
            Journal(self.settings.node(node) / "journal").reveal(round_id, revealed)

    def outbox(self) -> Outbox:
        """The provider's own."""
        provider = Identity.load(self.settings.provider)
        return Outbox(provider.home / "outbox", provider.key, self.services.rpc, self.ledger.chain_id)

    def audit(self, round_id: RoundId) -> AuditReport:
        """What an auditor finds, with the auditor's own access."""
        users = (credentials for credentials, _ in members.store_users(self.settings, members.MemberNames((), ())))
        auditor = next(credentials for credentials in users if credentials.actor == "auditor")
        return audit(round_id, self.ledger, Store(self.services.store, auditor))

    def audits(self, round_id: RoundId) -> None:
        """Fail with the first problem unless the round's audit passes."""
        report = self.audit(round_id)
        assert report.passed, report.first_problem

    def record(self, round_id: RoundId) -> dict[str, Any]:
        """The canonical record that the ledger anchors."""
        finalised = self.ledger.round(round_id).finalised
        assert finalised is not None
        return self.board().json(object_keys.record(round_id), finalised.record)

    def traces(self) -> tuple[list[str], int, set[Path]]:
        """All that a question could leave behind: objects of the store, blocks, files of the actors."""
        keys = [
            info.key
            for bucket in (object_keys.MAILBOX, object_keys.MODELS, object_keys.REPORTS, object_keys.DVC)
            for info in self.store().history(bucket, "")
        ]
        files = {
            path
            for folder in ("hospitals", "nodes", "provider")
            for path in (self.settings.home / folder).rglob("*")
            if path.is_file()
        }
        return keys, self.ledger.height(), files

    def transactions(self, study: str) -> list[tuple[str, int]]:
        """What the ledger holds of a study, by kind and round, in order."""
        kinds = ("opened", "committed", "finalised", "aborted")
        states = self.ledger.rounds(study_id(study))
        return [(kind, state.round) for state in states for kind in kinds if getattr(state, kind) is not None]

    def each_thing_once(self, play: Play, round_id: RoundId) -> None:
        """Fail unless a finished round without absences holds each statement, envelope and transaction once."""
        nodes = play.study.nodes
        store = self.store()
        events = [kind for kind, number in self.transactions(play.study.name) if number == round_id]
        assert events == ["opened", "committed", "finalised"]
        expected = [object_keys.commit(round_id), object_keys.record(round_id)]
        for hospital in play.study.hospitals:
            expected += [
                object_keys.statement(round_id, kind, hospital)
                for kind in (Kind.VALIDATION, Kind.MANIFEST, Kind.CONFIRMATION)
            ]
            expected += [object_keys.envelope(round_id, hospital, node) for node in nodes]
        for node in nodes:
            kinds = (Kind.SEALING_KEY, Kind.INVENTORY, Kind.INPUT_SET, Kind.VOTE)
            expected += [object_keys.statement(round_id, kind, node) for kind in kinds]
        for place in expected:
            assert len(store.history(place.bucket, place.prefix)) == 1, place.prefix

    def hospital_context(self, play: Play, round_id: RoundId, name: HospitalName) -> RoundContext:
        """A hospital's worker in a round, whatever the round's state."""
        return RoundContext.join(
            hospital_worker(play.study.name, name, self.settings), round_id, self.ledger.status(round_id)
        )

    def node_context(self, play: Play, round_id: RoundId, name: NodeName) -> RoundContext:
        """A node's worker in a round, whatever the round's state."""
        return RoundContext.join(
            node_worker(play.study.name, name, self.settings), round_id, self.ledger.status(round_id)
        )

    @abstractmethod
    def pass_deadline(self, round_id: RoundId) -> None:
        """Set the chain's clock beyond the time at which anybody may abort the round."""

    def _write(self, name: str, changes: Mapping[str, Any]) -> Path:
        path = self.settings.studies / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**STUDY, **changes}, sort_keys=False))
        return path
