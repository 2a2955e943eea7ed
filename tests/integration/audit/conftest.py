"""Finished rounds on a real chain and in a real store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.audit.audit_round import AuditReport, audit
from pipeline.chain.ledger import Ledger, deploy, study_id
from pipeline.chain.outbox import Outbox
from pipeline.domain import Result, RoundId, Sha256
from pipeline.evidence.canonical import sha256
from pipeline.site.consortium import LedgerLocation
from pipeline.store import policies
from pipeline.store.objects import Store
from tests.support.chains import CHAIN_ID, Devchain, devchain
from tests.support.finished_rounds import STUDY_DIGEST, RoundMaker, consortium, key, model, study
from tests.support.minio import StoreServer

DEADLINES = (600, 1200)


@dataclass
class ChainDriver:
    """Plays the provider on a real chain: every transaction through the product's own outbox."""

    url: str
    folder: Path
    hospitals: Sequence[str]
    nodes: Sequence[str]
    study_name: str
    initial: Sha256
    _sent: int = field(default=0)

    def __post_init__(self) -> None:
        contract = deploy(self._outbox("provider"))
        self.location = LedgerLocation(chain_id=CHAIN_ID, contract=contract, development=True)
        self.ledger = Ledger.connect(self.url, self.location)
        self.id = study_id(self.study_name)
        for name in self.hospitals:
            self._send(name, self.ledger.register_hospital())
        self._send("provider", self.ledger.authorise_hospitals([key(name).address for name in self.hospitals]))
        self._send(
            "provider", self.ledger.register_study(self.id, [key(name).address for name in self.nodes], self.initial)
        )

    def open(self, round_id: RoundId, previous: Sha256, sealing_keys: Sequence[Sha256]) -> None:
        now = self.ledger.block_time()
        call = self.ledger.open_round(
            round_id,
            self.id,
            study_digest=STUDY_DIGEST,
            previous_model=previous,
            sealing_keys=sealing_keys,
            commit_deadline=now + DEADLINES[0],
            result_deadline=now + DEADLINES[1],
        )
        self._send("provider", call)

    def commit(self, round_id: RoundId, root: Sha256, count: int) -> None:
        self._send("provider", self.ledger.commit_round(round_id, root))

    def finalise(self, result: Result, signatures: Sequence[str]) -> None:
        self._send("provider", self.ledger.finalise_round(result, signatures))

    def _send(self, name: str, call: object) -> None:
        self._sent += 1
        self._outbox(name).send(call, f"step-{self._sent}")  # type: ignore[arg-type]

    def _outbox(self, name: str) -> Outbox:
        return Outbox(self.folder / name, key(name), self.url, CHAIN_ID)


@dataclass
class Rounds:
    """Two finished rounds, each actor's objects written with that actor's own right to write."""

    maker: RoundMaker
    driver: ChainDriver
    server: StoreServer
    auditor: Store

    def audit(self, round_id: int) -> AuditReport:
        return audit(RoundId(round_id), self.driver.ledger, self.auditor)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devchain]:
    with devchain(tmp_path_factory.mktemp("ledger")) as made:
        yield made


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """One store for all; a test that tampers with it puts the disk back as it was."""
    server = StoreServer(tmp_path_factory.mktemp("minio"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def finished(chain: Devchain, store_server: StoreServer, tmp_path_factory: pytest.TempPathFactory) -> Rounds:
    of = study()
    store = store_server.as_root()
    initial = model(0)
    driver = ChainDriver(
        chain.url, tmp_path_factory.mktemp("outboxes"), of.hospitals, of.nodes, of.name, sha256(initial)
    )
    members = consortium(of, CHAIN_ID, driver.ledger.contract)
    maker = RoundMaker(of, members, store.put_once, driver)
    maker.start(initial)
    maker.finish(RoundId(1), rejected=["southmoor"])
    maker.finish(RoundId(2), rejected=["southmoor"], absent=["hillside"], signers=["alder", "cedar"])
    return Rounds(maker, driver, store_server, store_server.admit("auditor", policies.auditor()))
