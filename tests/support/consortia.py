"""A whole consortium in a folder of its own, set up as `wardround up` does but without Airflow.

And studies on it as tests need them.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import psutil
import pytest
import yaml

from pipeline.audit.audit_round import AuditReport, audit
from pipeline.chain.ledger import Ledger, study_id
from pipeline.chain.outbox import Outbox
from pipeline.domain import HospitalName, Kind, NodeName, RoundId, Sha256, Statement, StoreKind
from pipeline.ingest import validate
from pipeline.round.worker import RoundContext, hospital_worker, node_worker
from pipeline.setup import demonstration, health, ledger, members, services, store
from pipeline.setup.services import STORE
from pipeline.setup.tools import runtime
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.site.settings import Settings
from pipeline.store import object_keys
from pipeline.store.bulletin_board import BulletinBoard
from pipeline.store.object_keys import KeyPrefix
from pipeline.store.objects import Store
from pipeline.study.study import Study
from tests.support import past_guard
from tests.support.rounds import Play
from tests.support.thresholds import FOR_FEW_SAMPLES

HOSPITALS = tuple(map(HospitalName, ("aster", "birch", "cedar", "dahlia", "elm", "fern", "gorse", "hazel", "iris")))
NODES = tuple(map(NodeName, ("north", "east", "west", "south")))

_START_SECONDS = 60

_STUDY: Mapping[str, Any] = {
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
    "deadlines": {"commit_seconds": 120, "result_seconds": 180},
    "seed": 3,
}
"""Logistic regression: the smallest model that takes every step of a round."""

_EVERYBODY = {"hospitals": list(HOSPITALS), "nodes": list(NODES), "engine": "mp-spdz", "protocol": "rep4-ring"}
"""The study by which set-up learns of all members; no round of it is run."""


class Site:
    """A store, a chain and every actor; `settings.home` holds all that they write.

    Without `rpc` the development chain runs here too. Unless named the store is this machine's usual one: tests have
    the marker `store`.
    """

    def __init__(self, home: Path, rpc: str | None = None, store_server: StoreKind | None = None) -> None:
        usual = Settings.load()
        self.settings = Settings(home, usual.data, usual.cache, usual.mp_spdz, home / "studies")
        home.mkdir(mode=0o700)
        self.settings.studies.mkdir()
        self.settings.installation.write_text(f"store_server: {store_server or runtime.usual_store()}\n")
        studies = {"everybody": Study.load(self._write("everybody", _EVERYBODY))}
        everybody = members.members(studies)
        runtime.store_server(self.settings, services.store_server(self.settings))
        runtime.guard_environment(self.settings)
        runtime.npm_packages(self.settings)
        members.create_actors(self.settings, everybody)
        self.manager = services.supervisor(self.settings)
        self.services, _ = services.addresses(self.settings, running=False, rpc=rpc)
        self.manager.start(services.programs(self.settings, self.services))
        for name in services.backing(self.services):
            self.manager.launch(name)
        health.wait("the object store", lambda: health.store(self.services), _START_SECONDS)
        store.set_up(self.settings, self.services, everybody)
        health.wait("the chain", lambda: health.chain(self.services, None), _START_SECONDS)
        location = ledger.deploy(self.settings, self.services)
        self.members = members.publish(
            self.settings, everybody, location, members.on_this_machine(self.settings, self.services)
        )
        ledger.establish(self.settings, self.services, self.members, studies)
        demonstration.deal_records(self.settings, studies)
        self.ledger = Ledger.connect(self.services.rpc, self.members.ledger)

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
        credentials = Identity.load(home).credentials if home else store.root_account(self.settings)
        return Store(self.services.store, credentials)

    def board(self, home: Path | None = None) -> BulletinBoard:
        """Like `store`, by place."""
        return BulletinBoard(self.store(home))

    def said(self, round_id: RoundId, kind: Kind, signer: HospitalName | NodeName) -> Statement:
        """The one statement in its signer's place, whoever signed it."""
        return self.board().only(round_id, kind, signer, lambda statement: None)

    def outbox(self) -> Outbox:
        """The provider's own."""
        provider = Identity.load(self.settings.provider)
        return Outbox(provider.home / "outbox", provider.key, self.services.rpc, self.ledger.chain_id)

    def audit(self, round_id: RoundId) -> AuditReport:
        """What an auditor finds, with the auditor's own access."""
        users = (credentials for credentials, _ in members.store_users(self.settings, members.Members((), ())))
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
        """A hospital's seat in a round, whatever its state."""
        return RoundContext.join(
            hospital_worker(play.study.name, name, self.settings), round_id, self.ledger.status(round_id)
        )

    def node_context(self, play: Play, round_id: RoundId, name: NodeName) -> RoundContext:
        """A node's seat in a round, whatever its state."""
        return RoundContext.join(
            node_worker(play.study.name, name, self.settings), round_id, self.ledger.status(round_id)
        )

    def hide(self, objects: Iterable[tuple[str, str]]) -> None:
        """Lay delete markers over objects, by bucket and key, as only somebody inside MinIO's machine can.

        See `namespace`.
        """
        self.put_over(objects, None)

    def put_over(self, objects: Iterable[tuple[str, str]], text: str | None) -> None:
        """The same with newer versions of this text."""
        past_guard.put_over(self.manager.pids()[STORE], self.settings.home / "secrets" / "store-root", objects, text)

    def on_disk(self, place: KeyPrefix, digest: Sha256) -> Path:
        """MinIO's folder of an object, as its operator finds it; needs the marker `namespace`."""
        folder = self.settings.home / "minio" / place.bucket / place.key(digest)
        assert folder.is_dir(), f"{folder.name}: MinIO does not have it"
        return folder

    def damage(self, place: KeyPrefix, digest: Sha256) -> None:
        """Flip bytes in the middle of an object on MinIO's disk; needs the marker `namespace`."""
        for file in self.on_disk(place, digest).rglob("*"):
            if file.is_file():
                content = bytearray(file.read_bytes())
                content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
                file.write_bytes(content)

    def kill_store(self) -> None:
        """kill -9 of the store; the process manager starts it again."""
        psutil.Process(self.manager.pids()[STORE]).kill()

    def kill_anvil(self) -> None:
        """kill -9 of anvil; the development chain starts it again."""
        psutil.Process(self._anvil()).kill()

    def pass_deadline(self, round_id: RoundId) -> None:
        """Set the development chain's clock.

        Its operator can, beyond the time at which anybody may abort the round.
        """
        late = self.ledger.round(round_id).opened.result_deadline - self.ledger.block_time() + 1
        self.past_devchain([("evm_increaseTime", [late])])

    def past_devchain(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """Ask anvil itself, as the development chain's operator can; every call's result."""
        command = psutil.Process(self._anvil()).cmdline()
        port = command[command.index("--port") + 1]
        batch = [
            {"jsonrpc": "2.0", "id": index, "method": name, "params": given}
            for index, (name, given) in enumerate(calls)
        ]
        answers = (
            httpx.post(f"http://127.0.0.1:{port}", json=batch, trust_env=False, timeout=60).raise_for_status().json()
        )
        return [answer["result"] for answer in answers]

    def stop(self) -> None:
        """End every process of the installation."""
        self.manager.stop()

    def _anvil(self) -> int:
        return int((self.settings.home / "chain" / "anvil.pid").read_text())

    def _write(self, name: str, changes: Mapping[str, Any]) -> Path:
        path = self.settings.studies / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**_STUDY, **changes}, sort_keys=False))
        return path


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Write what this process logs to a file, as Airflow does with a task's."""
    handler = logging.FileHandler(path)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()


_checked: dict[bytes, tuple[bytes, dict[str, bool]]] = {}


@contextmanager
def tables_checked_once() -> Iterator[None]:
    """Ask Great Expectations once about a table and a contract.

    It takes a second, and every round asks about the same records.
    """
    check = validate.check

    def remembered(frame: pd.DataFrame, study: Study) -> tuple[bytes, dict[str, bool]]:
        asked = pickle.dumps((frame, study.dataset, study.data_contract))
        if asked not in _checked:
            _checked[asked] = check(frame, study)
        page, outcome = _checked[asked]
        return page, dict(outcome)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validate, "check", remembered)
        yield


def engine_parties() -> list[psutil.Process]:
    """The engine's processes that this process started."""
    found = []
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            command = " ".join(child.cmdline())
        except psutil.Error:
            continue
        if "party.py" in command or "-party.x" in command:
            found.append(child)
    return found
