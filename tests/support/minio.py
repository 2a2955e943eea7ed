"""A real MinIO of a test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import httpx

from pipeline import ports
from pipeline.identity import StoreCredentials
from pipeline.secret import Secret
from pipeline.settings import Settings
from pipeline.setup.tools.runtime import minio
from pipeline.store.admin import Administrator, Terms
from pipeline.store.objects import Store
from pipeline.store.policies import Policy

ROOT = StoreCredentials("root-of-tests", Secret(b"only-for-this-throwaway-store"))
TERMS = Terms(retention_days=1, mailbox_days=1)
"""The shortest that S3 knows for a bucket; the folder goes with the test."""


class StoreServer:
    """MinIO on a port and a folder of its own, with the buckets made; `kill` and `start` as often as a test likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = ports.choose()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self.administrator = Administrator(self.endpoint, ROOT)
        self.administrator.make_buckets(TERMS)

    def start(self) -> None:
        command = [str(minio(Settings.load())), "server", "--quiet", "--address", f"127.0.0.1:{self.port}", str(self.folder)]
        secrets = {"MINIO_ROOT_USER": ROOT.access_key, "MINIO_ROOT_PASSWORD": ROOT.secret_key.text(), "MINIO_BROWSER": "off"}
        self._process = subprocess.Popen(command, env={**os.environ, **secrets}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                if httpx.get(f"{self.endpoint}/minio/health/ready").is_success:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise AssertionError("MinIO did not start")

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process
        return self._process.pid

    def kill(self) -> None:
        """kill -9."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        assert self._process
        self._process.terminate()
        self._process.wait(timeout=20)

    def admit(self, name: str, policy: Policy) -> Store:
        """The store as a new actor with this policy sees it."""
        credentials = StoreCredentials(name, Secret(Secret.generate(24).token().encode()))
        self.administrator.admit(credentials, policy)
        return Store(self.endpoint, credentials)

    def as_root(self) -> Store:
        """The store as its operator sees it."""
        return Store(self.endpoint, ROOT)
