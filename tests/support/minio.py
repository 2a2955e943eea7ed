"""A real object store of a test's own, MinIO unless another is asked for, behind the guard of every installation."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx

from pipeline.domain import StoreKind
from pipeline.host import ports
from pipeline.services import servers
from pipeline.services.guard import LISTENS
from pipeline.services.servers import Launch
from pipeline.site.identity import StoreCredentials
from pipeline.site.settings import Settings
from pipeline.store import admin
from pipeline.store.admin import Terms
from pipeline.store.objects import Store
from pipeline.store.policies import Policy
from pipeline.tools import runtime

ROOT = StoreCredentials.generate("root")
TERMS = Terms(retention_days=1, mailbox_days=1)
"""The shortest that S3 knows for a bucket; the folder goes with the test."""


class StoreServer:
    """A server on a folder of its own, with the buckets made; `kill` and `start` as often as a test likes.

    Everybody reaches it at `endpoint`, where the guard is. `bare` is its own port, which in an installation only its
    operator reaches.
    """

    def __init__(self, folder: Path, kind: StoreKind = "minio") -> None:
        self.folder = folder
        self.kind = kind
        folder.mkdir(exist_ok=True)
        self._ports = ports.choose(2)
        self.endpoint = f"http://127.0.0.1:{self._ports}"
        self.bare = f"http://127.0.0.1:{self._ports + 1}"
        self._secrets = folder.with_name(f"{folder.name}-root.env")
        self._secrets.write_bytes(servers.root_environment(kind, ROOT))
        self._processes: list[subprocess.Popen[bytes]] = []
        self.start()
        self.administrator = admin.administrator(kind, self.endpoint, ROOT)
        self.administrator.make_buckets(TERMS)
        self.administrator.expire_envelopes(TERMS, datetime.now(UTC))

    def start(self) -> None:
        inner = self.bare.removeprefix("http://")
        binary = runtime.store_server(Settings.load(), self.kind)
        runtime.guard_environment(Settings.load())
        guard = servers.in_front(self.kind, runtime.caddy_path(), inner)
        listens = {LISTENS: "127.0.0.1", "GUARD_ADDRESS": f"http://:{self._ports}"}
        self._processes = [
            _started(servers.behind(self.kind, binary, inner, self.folder, self._secrets)),
            _started(Launch(guard.command, {**guard.environment, **listens})),
        ]
        for _ in range(400):
            try:
                if httpx.get(f"{self.endpoint}{servers.HEALTH}").is_success:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{self.kind} did not start")

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._processes[0].pid

    def kill(self) -> None:
        """kill -9 of both."""
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait(timeout=20)

    def admit(self, name: str, policy: Policy) -> Store:
        """The store as a new actor with this policy sees it."""
        credentials = StoreCredentials.generate(name)
        self.administrator.admit(credentials, policy)
        return Store(self.endpoint, credentials)

    def as_root(self) -> Store:
        """The store as its root account sees it."""
        return Store(self.endpoint, ROOT)

    def past_guard(self) -> Store:
        """The store as its operator sees it, who needs no guard's leave."""
        return Store(self.bare, ROOT)


def _started(launch: Launch) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **launch.environment}
    return subprocess.Popen(launch.command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
