"""One anvil process: started without keys of its own, mining only when told, its state saved whole or not at all."""

from __future__ import annotations

import gzip
import json
import logging
import os
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from pipeline.errors import Misconfigured, Unavailable
from pipeline.host.files import write_atomic
from pipeline.site.settings import PROJECT

_LOG = logging.getLogger(__name__)
_START_SECONDS = 30
_CALL_SECONDS = 30
HARDFORK = "cancun"

# Linux kills anvil when its supervisor dies, even by kill -9. This runs in the child before anvil: a preexec_fn is
# unsafe with threads.
_DIE_WITH_PARENT = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the supervisor is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


def tool(name: str) -> Path:
    """Foundry's `name` (anvil, forge) inside its npm package.

    Raises Misconfigured when it is not installed for this machine.
    """
    system = {"linux": "linux", "darwin": "darwin"}.get(sys.platform, sys.platform)
    machine = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(
        platform.machine().lower(), platform.machine()
    )
    binary = PROJECT / "node_modules" / "@foundry-rs" / f"{name}-{system}-{machine}" / "bin" / name
    if not binary.is_file():
        raise Misconfigured(
            f"{binary.relative_to(PROJECT)}: got no {name} for {system}-{machine}; run `make setup-dev`"
        )
    return binary


class RpcFailure(Exception):
    """Anvil answered with a JSON-RPC error; never leaves this package."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message")))
        self.error = error


class Anvil:
    """A running anvil on a private loopback port."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._process = process
        self._http = httpx.Client(base_url=self.url, timeout=_CALL_SECONDS, trust_env=False)

    @classmethod
    def start(cls, home: Path, chain_id: int, genesis_time: int, state: Path | None) -> Anvil:
        """Start from `state`, or from an empty genesis of `genesis_time` (seconds).

        Raises Unavailable when it does not answer.
        """
        port = _free_port()
        command = [
            str(tool("anvil")),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--chain-id",
            str(chain_id),
            "--hardfork",
            HARDFORK,
        ]
        # No accounts: their keys would be public. No mining on its own: a block exists only once the supervisor can
        # save it.
        command += [
            "--accounts",
            "0",
            "--no-mining",
            "--block-base-fee-per-gas",
            "0",
            "--gas-price",
            "0",
            "--no-cors",
            "--quiet",
        ]
        # A loaded state does not replace anvil's own genesis but joins it: with the same time the two are one.
        command += ["--timestamp", str(genesis_time), "--cache-path", str(home / "cache")]
        if state is not None:
            command += ["--load-state", str(state)]
        with (home / "anvil.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"HOME": str(home)},
            )
        child = cls(process, port)
        child._await_answer(chain_id)
        child._set_clock()
        return child

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def wait(self) -> int:
        """Block until the process has ended; its exit status."""
        return self._process.wait()

    def kill(self) -> None:
        """Kill the process, safe in a signal handler: its state is on disk already."""
        self._process.kill()

    def call(self, method: str, *params: Any) -> Any:
        """The result of one JSON-RPC call; raises RpcFailure on an error answer, httpx.HTTPError when anvil is gone."""
        answer = self._http.post("/", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).json()
        if "error" in answer:
            raise RpcFailure(answer["error"])
        return answer.get("result")

    def save(self, path: Path, previous: Path) -> None:
        """Write the whole chain to `path`; the file before it becomes `previous`.

        A crash leaves at least one of them whole.
        """
        state = gzip.decompress(bytes.fromhex(self.call("anvil_dumpState").removeprefix("0x")))
        if path.exists():
            os.replace(path, previous)
        write_atomic(path, state, mode=0o600)

    def _set_clock(self) -> None:
        """Let block times follow the machine's clock again, which `--timestamp` set back; they never run backwards."""
        latest = int(self.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        self.call("evm_setTime", max(int(time.time()), latest))

    def _await_answer(self, chain_id: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if int(self.call("eth_chainId"), 16) == chain_id:
                    return
            except (httpx.HTTPError, ValueError, RpcFailure):
                time.sleep(0.02)
        self.kill()
        raise Unavailable(
            f"anvil: got no answer (exit status {self.wait()}); its log, anvil.log in the chain's folder, says why"
        )


def loadable(path: Path) -> bool:
    """Whether a state file is there and whole."""
    try:
        json.loads(path.read_bytes())
    except FileNotFoundError:
        return False
    except ValueError:
        _LOG.error("%s is damaged; falling back to the state before it", path.name)
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
