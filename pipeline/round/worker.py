"""A member at work on one round: its own identity, the study that its owner approved, the ledger and the store.

What a step needs comes from the ledger and from the worker's own files; the caller gives a study's name and a round's
number, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from nacl.public import PublicKey

from pipeline.chain.ledger import HospitalStatus, Ledger, RoundState, study_id
from pipeline.chain.outbox import Outbox
from pipeline.consent import approval, backbone_file
from pipeline.domain import (
    Address,
    Context,
    HospitalName,
    Kind,
    NodeName,
    RoundId,
    RoundStatus,
    Sha256,
    Statement,
    sha256_text,
)
from pipeline.errors import EvidenceRejected, Misconfigured, Refused
from pipeline.evidence import signing
from pipeline.evidence.canonical import digest, joint_digest
from pipeline.ledger_types.events import StudyId
from pipeline.model_file import Model, read_model
from pipeline.round import continuation
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.store import object_keys
from pipeline.store.bulletin_board import BulletinBoard
from pipeline.store.objects import Store
from pipeline.study.study import Study


@dataclass(frozen=True)
class Worker:
    """What one worker has at hand for one study."""

    settings: Settings
    study: Study
    consortium: Consortium
    digest: Sha256
    identity: Identity
    ledger: Ledger
    board: BulletinBoard

    @classmethod
    def open(cls, study: str, home: Path, settings: Settings | None = None) -> Worker:
        """The worker of the actor whose folder is `home`; raises NotApproved unless its owner approved the study."""
        settings = settings or Settings.load()
        worker = cls.visit(study, home, settings)
        approval.require(worker.identity, worker.study.name, worker.digest, worker.consortium.ledger)
        worker.check_registration()
        backbone_file.obtain(worker.identity, worker.study, settings)
        return worker

    @classmethod
    def visit(cls, study: str, home: Path, settings: Settings) -> Worker:
        """Like `open`, before the owner's approval: to read a study and to approve it."""
        consortium = Consortium.load(settings.consortium)
        read = Study.load(settings.studies / f"{study}.yaml")
        identity = Identity.load(home)
        services = Installation.load(settings.installation)
        return cls(
            settings=settings,
            study=read,
            consortium=consortium,
            digest=read.digest(consortium),
            identity=identity,
            ledger=Ledger.connect(services.rpc, consortium.ledger, services.authority),
            board=BulletinBoard(Store(services.store, identity.credentials, services.authority)),
        )

    @cached_property
    def study_id(self) -> StudyId:
        """The study's name on the ledger."""
        return study_id(self.study.name)

    def check_registration(self) -> None:
        """Raise Refused unless the ledger's nodes for this study, and what it continues, are the approved study's."""
        on_ledger = self.ledger.study(self.study_id).nodes
        approved = tuple(self.node_address(name) for name in self.study.nodes)
        if on_ledger != approved:
            raise Refused(
                f"study {self.study.name}: the ledger lists nodes {', '.join(on_ledger)}, but the files of"
                f" {self.identity.name} name {', '.join(approved)}: name the ledger's, or let a majority of them sign"
                " others (`wardround nodes sign`)"
            )
        continuation.require_agreed(self.study, self.ledger, self.settings.studies)

    def node_address(self, name: NodeName) -> Address:
        """A node's signing address."""
        return Address(self.consortium.node(name).address)

    def pinned_certificate(self, name: NodeName) -> Path:
        """A node's TLS certificate, PEM; raises EvidenceRejected when its fingerprint is not the approved one."""
        path = self.settings.certificate(name)
        pem = path.read_bytes() if path.exists() else b""
        try:
            fingerprint = x509.load_pem_x509_certificate(pem).fingerprint(SHA256()).hex()
        except ValueError as error:
            raise EvidenceRejected(
                f"{path}: got no certificate of {name}, want the PEM file with the approved fingerprint"
            ) from error
        if fingerprint != self.consortium.fingerprint(name):
            raise EvidenceRejected(
                f"{path}: got fingerprint {fingerprint[:16]}, want {self.consortium.fingerprint(name)[:16]} of {name}"
            )
        return path

    def model(self, digest: Sha256) -> Model:
        """The model with this digest; raises EvidenceRejected when its bytes are others, or not of this study."""
        return read_model(self.board.fetch(object_keys.model(), digest), self.study.network.size)

    def address(self, signer: HospitalName | NodeName, kind: Kind) -> Address:
        """The signing address that a statement of this kind must come from."""
        if object_keys.by_node(kind):
            return self.node_address(NodeName(signer))
        return self.consortium.hospital(HospitalName(signer))

    def outbox(self) -> Outbox:
        """The sender of this actor's own transactions."""
        services = Installation.load(self.settings.installation)
        folder = self.identity.home / "outbox"
        return Outbox(folder, self.identity.key, services.rpc, self.ledger.chain_id, services.authority)

    def context(self, round_id: RoundId, previous_model: Sha256) -> Context:
        """What this study's statements and envelopes of a round are bound to."""
        return Context(
            self.consortium.ledger.chain_id,
            Address(self.consortium.ledger.contract),
            self.digest,
            round_id,
            previous_model,
        )

    def sign(self, kind: Kind, body: Mapping[Any, Any], context: Context) -> Statement:
        """Sign a statement as this worker."""
        return signing.sign(kind, self.identity.name, body, context, self.identity.key)

    def check(self, statement: Statement, context: Context) -> None:
        """Raise EvidenceRejected unless the statement's signer signed it in this context."""
        signing.check(statement, statement.kind, context, self.address(HospitalName(statement.signer), statement.kind))


@dataclass(frozen=True)
class KeyRecord:
    """What a node signs before a round opens; the opening puts the digest of its body on the ledger."""

    public_key: PublicKey
    nonce_commitment: Sha256 | None
    """Where the study draws seeds (`pipeline.round.seed`)."""

    @classmethod
    def parse(cls, statement: Statement, study: Study) -> KeyRecord:
        """Read a statement's body.

        Raises EvidenceRejected unless it has what the study takes, and nothing else.
        """
        wanted = {"public_key", "nonce_commitment"} if study.draws_seed else {"public_key"}
        if set(statement.body) != wanted:
            raise EvidenceRejected(
                f"{statement.signer}: got a key record of {sorted(statement.body)}, want {sorted(wanted)}"
            )
        read = {name: sha256_text(value, f"{statement.signer}'s {name}") for name, value in statement.body.items()}
        return cls(PublicKey(bytes.fromhex(read["public_key"])), read.get("nonce_commitment"))


@dataclass(frozen=True)
class RoundContext:
    """A round as a worker meets it, one that the ledger knows."""

    worker: Worker
    round_id: RoundId
    state: RoundState

    @classmethod
    def join(cls, worker: Worker, round_id: RoundId, *allowed: RoundStatus) -> RoundContext:
        """Raise Refused unless the ledger holds this round of this very study digest in one of the `allowed` states."""
        status = worker.ledger.status(round_id)
        if status not in allowed:
            raise Refused(
                f"round {round_id}: the ledger says {status}, want {' or '.join(allowed)}; nothing to do for"
                f" {worker.identity.name}"
            )
        state = worker.ledger.round(round_id)
        opened = state.opened
        if opened.study != worker.study_id or opened.study_digest != worker.digest:
            raise Refused(
                f"round {round_id}: the ledger's study digest is {opened.study_digest[:16]}, {worker.identity.name} has"
                f" {worker.digest[:16]} for {worker.study.name}; an override is a new digest that needs its owner's"
                " consent"
            )
        return cls(worker, round_id, state)

    @property
    def previous_model(self) -> Sha256:
        """The model that the round starts from."""
        return self.state.opened.previous_model

    @cached_property
    def model(self) -> Model:
        """The model that the round starts from, checked against its digest."""
        return self.worker.model(self.previous_model)

    @cached_property
    def study(self) -> Study:
        """The study in this round: where it measures constants, with those that the round's first model holds.

        It has none in the round that measures them.
        """
        study = self.worker.study
        return study.at(self.model) if study.source.measured else study

    @property
    def commit_root(self) -> Sha256:
        """The Merkle root of the manifests that take part; raises Refused before the commit."""
        if self.state.committed is None:
            raise Refused(f"round {self.round_id}: the ledger holds no commit yet")
        return self.state.committed.root

    @cached_property
    def standings(self) -> Mapping[HospitalName, HospitalStatus]:
        """Each hospital's status on the ledger in this round, by the key under which the study names it.

        Only an authorised one takes part.
        """
        accounts = {hospital: self.worker.consortium.hospital(hospital) for hospital in self.worker.study.hospitals}
        statuses = self.worker.ledger.standings(self.state, accounts.values())
        return {hospital: statuses[account] for hospital, account in accounts.items()}

    @property
    def new_model(self) -> Sha256:
        """The model that the round ended with; raises Refused before the result."""
        if self.state.finalised is None:
            raise Refused(f"round {self.round_id}: the ledger holds no result yet")
        return self.state.finalised.new_model

    @property
    def context(self) -> Context:
        """What this round's statements are bound to."""
        return self.worker.context(self.round_id, self.previous_model)

    def check(self, statement: Statement) -> None:
        """Raise EvidenceRejected unless the statement's signer signed it in this round."""
        self.worker.check(statement, self.context)

    def sealing_keys(self) -> dict[NodeName, PublicKey]:
        """Every node's key of this round.

        Raises EvidenceRejected unless the ledger holds the digest of what each node signed.
        """
        return {node: record.public_key for node, record in self.key_records().items()}

    def key_records(self) -> dict[NodeName, KeyRecord]:
        """What every node signed before the round opened; raises EvidenceRejected unless its digest is the ledger's."""
        records = {}
        digests = []
        for node in self.worker.study.nodes:
            statement = self.worker.board.only(self.round_id, Kind.SEALING_KEY, node, self.check)
            digests.append(digest(statement.body))
            records[node] = KeyRecord.parse(statement, self.worker.study)
        if joint_digest(digests) != self.state.opened.sealing_keys:
            raise EvidenceRejected(
                f"round {self.round_id}: the ledger's sealing keys are not the ones that the nodes signed"
            )
        return records


def hospital_worker(study: str, name: HospitalName, settings: Settings | None = None) -> Worker:
    """The worker of a hospital of the study; raises Misconfigured when it is none."""
    settings = settings or Settings.load()
    worker = Worker.open(study, settings.hospital(name), settings)
    if name not in worker.study.hospitals:
        raise Misconfigured(f"{name} is no hospital of study {study}, which names {', '.join(worker.study.hospitals)}")
    return worker


def node_worker(study: str, name: NodeName, settings: Settings | None = None) -> Worker:
    """The worker of a node of the study; raises Misconfigured when it is none."""
    settings = settings or Settings.load()
    worker = Worker.open(study, settings.node(name), settings)
    if name not in worker.study.nodes:
        raise Misconfigured(f"{name} is no node of study {study}, which names {', '.join(worker.study.nodes)}")
    return worker


def provider_worker(study: str, settings: Settings | None = None) -> Worker:
    """The service provider's worker; it approves by registering the study, and holds no data key."""
    settings = settings or Settings.load()
    worker = Worker.visit(study, settings.provider, settings)
    worker.check_registration()
    return worker
