"""A whole consortium in a folder of its own, set up as `wardround up` does but without Airflow.

And studies on it as tests need them.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import psutil
import pytest

from pipeline.chain.ledger import Ledger
from pipeline.domain import RoundId, Sha256, StoreKind
from pipeline.ingest import validate
from pipeline.ingest.data_contract import expectations
from pipeline.services import health, services
from pipeline.services.services import STORE
from pipeline.setup import demonstration, ledger, members, store
from pipeline.site.settings import Settings
from pipeline.store.object_keys import KeyPrefix
from pipeline.study.study import Study
from pipeline.tools import runtime
from tests.support import past_guard
from tests.support.chains import anvil, pass_deadline
from tests.support.installed import EVERYBODY, HOSPITALS, NODES, Installed

__all__ = ["HOSPITALS", "NODES", "Site", "engine_parties", "logged", "tables_checked_once"]

_START_SECONDS = 60


class Site(Installed):
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
        studies = {"everybody": Study.load(self._write("everybody", EVERYBODY))}
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
        psutil.Process(anvil(self.settings.home / "chain")).kill()

    def pass_deadline(self, round_id: RoundId) -> None:
        """Set the development chain's clock.

        Its operator can, beyond the time at which anybody may abort the round.
        """
        pass_deadline(self.settings.home / "chain", self.ledger, round_id)

    def stop(self) -> None:
        """End every process of the installation."""
        self.manager.stop()


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
    """Ask Great Expectations once about a table and what is expected of it, whatever the study is called.

    It takes a second, and every round asks about the same records.
    """
    check = validate.check

    def remembered(frame: pd.DataFrame, study: Study) -> tuple[bytes, dict[str, bool]]:
        wanted = [(name, type(one).__name__, one.json()) for name, one in expectations(study)]
        asked = pickle.dumps((frame, wanted))
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
