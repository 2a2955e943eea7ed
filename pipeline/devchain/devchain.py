"""The embedded development chain: one anvil behind a filter that acknowledges a transaction only once it is on disk.

It is a chain of one operator, who can rewrite it; every answer to `web3_clientVersion` and `GET /` says so.
`python -m pipeline.devchain.devchain --home DIR --port N [--chain-id ID] [--bind ADDRESS]` runs until SIGTERM.

What it promises: nothing is answered from a state that is not on disk, so kill -9 of anvil or of this process loses no
acknowledged transaction. What it does not: anybody who reaches the port may send transactions, at no cost.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from eth_utils.crypto import keccak

from pipeline.devchain.anvil import Anvil, RpcFailure, loadable
from pipeline.devchain.devhttp import NAME, refusal, serve
from pipeline.errors import EvidenceRejected, Misconfigured, Unavailable, WardroundError
from pipeline.evidence.canonical import read_json
from pipeline.host import log
from pipeline.host.files import write_atomic

CHAIN_ID = 31337
"""The chain id that development chains use by custom."""

_LOG = logging.getLogger(__name__)
_PATIENCE_SECONDS = 15
_RAPID_DEATHS = 5
_RAPID_SECONDS = 2

# No eth_sendTransaction, eth_accounts, eth_sign*, filters, nor anything of anvil_*, evm_*, debug_* and txpool_*.
ALLOWED = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_createAccessList",
        "eth_estimateGas",
        "eth_feeHistory",
        "eth_gasPrice",
        "eth_getBalance",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getBlockReceipts",
        "eth_getBlockTransactionCountByHash",
        "eth_getBlockTransactionCountByNumber",
        "eth_getCode",
        "eth_getLogs",
        "eth_getProof",
        "eth_getRawTransactionByHash",
        "eth_getStorageAt",
        "eth_getTransactionByBlockHashAndIndex",
        "eth_getTransactionByBlockNumberAndIndex",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
        "eth_sendRawTransaction",
        "eth_syncing",
        "net_listening",
        "net_version",
        "web3_clientVersion",
    }
)


class DevelopmentChain:
    """Supervises anvil from one thread (`supervise`) and answers requests from any other (`answer`)."""

    def __init__(self, home: Path, chain_id: int) -> None:
        self._home = home
        self._chain_id = chain_id
        self._state = home / "state.json"
        self._previous = home / "state.previous.json"
        self._turn = threading.Lock()
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._anvil: Anvil | None = None
        self._unsaved = False

    @property
    def status(self) -> dict[str, Any]:
        """What `GET /` answers."""
        return {
            "name": NAME,
            "warning": "a development chain: its one operator can rewrite it",
            "chain_id": self._chain_id,
            "ready": self._ready.is_set(),
        }

    def supervise(self) -> None:
        """Keep anvil running until `stop`.

        Raises Unavailable when it keeps dying. anvil lives as long as the calling thread.
        """
        deaths = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            child = self._start()
            status = child.wait()
            self._ready.clear()
            if self._stopping.is_set():
                return
            deaths = deaths + 1 if time.monotonic() - started < _RAPID_SECONDS else 0
            _LOG.error("anvil (pid %d) ended with status %d; restarting it from the saved state", child.pid, status)
            if deaths >= _RAPID_DEATHS:
                raise Unavailable(
                    f"anvil: died {deaths} times within {_RAPID_SECONDS} s of its start; anvil.log in {self._home}"
                    " says why"
                )

    def stop(self) -> None:
        """End anvil and `supervise`."""
        self._stopping.set()
        child = self._anvil
        if child is not None:
            child.kill()

    def answer(self, body: bytes) -> dict[str, Any]:
        """The JSON-RPC response to one request."""
        try:
            request = read_json(body)
        except EvidenceRejected:
            return refusal(None, -32700, "got no JSON")
        if isinstance(request, list):
            return refusal(None, -32600, f"{NAME} takes no batches; send requests one at a time")
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return refusal(None, -32600, "got no JSON-RPC request")
        identity = request.get("id")
        method = request["method"]
        params = request.get("params", [])
        if not isinstance(identity, str | int | None) or not isinstance(params, list):
            return refusal(None, -32600, "got an id or params of another type than JSON-RPC's (params: a list)")
        if method not in ALLOWED:
            return refusal(identity, -32601, f"{NAME} does not offer {method}")
        return self._forward(identity, method, params)

    def _forward(self, identity: str | int | None, method: str, params: list[Any]) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._ready.wait(max(0.0, deadline - time.monotonic())):
            try:
                with self._turn:
                    return {"jsonrpc": "2.0", "id": identity, "result": self._exchange(method, params)}
            except RpcFailure as failure:
                return {"jsonrpc": "2.0", "id": identity, "error": failure.error}
            except (OSError, Unavailable) as error:
                _LOG.exception("the chain's state could not be saved")
                return refusal(identity, -32603, f"the state could not be saved ({error}); nothing is acknowledged")
            except (httpx.HTTPError, ValueError):
                # anvil died in the middle: the same request, even a signed transaction, may safely be made again.
                time.sleep(0.05)
        return refusal(identity, -32603, "anvil is restarting; try again")

    def _exchange(self, method: str, params: list[Any]) -> Any:
        child = self._anvil
        if child is None:
            raise httpx.ConnectError("no anvil")
        if self._unsaved:
            self._save(child)
        if method == "web3_clientVersion":
            return f"{NAME}/{child.call(method)}"
        if method == "eth_sendRawTransaction":
            return self._send(child, params)
        return child.call(method, *params)

    def _send(self, child: Anvil, params: list[Any]) -> str:
        """The hash of a signed transaction, once it is mined and on disk; sending it again gives the same."""
        if len(params) != 1 or not isinstance(params[0], str) or not re.fullmatch(r"0x(?:[0-9a-fA-F]{2})+", params[0]):
            raise RpcFailure(
                {"code": -32602, "message": "eth_sendRawTransaction: want one signed transaction in hexadecimal"}
            )
        transaction = "0x" + keccak(hexstr=params[0]).hex()
        if child.call("eth_getTransactionReceipt", transaction) is not None:
            return transaction
        try:
            child.call("eth_sendRawTransaction", params[0])
        except RpcFailure as failure:
            # An earlier attempt may have ended between handing it over and mining it.
            if "already imported" not in str(failure):
                raise
        self._unsaved = True
        child.call("evm_mine")
        mined = child.call("eth_getTransactionReceipt", transaction) is not None
        if not mined:
            child.call("anvil_dropTransaction", transaction)
        self._save(child)
        if not mined:
            raise RpcFailure(
                {"code": -32000, "message": "nonce too high: this chain takes a sender's transactions in order"}
            )
        return transaction

    def _save(self, child: Anvil) -> None:
        child.save(self._state, self._previous)
        self._unsaved = False

    def _start(self) -> Anvil:
        with self._turn:
            child = self._load()
            self._anvil = child
            self._unsaved = False
            write_atomic(self._home / "anvil.pid", f"{child.pid}\n".encode())
            self._ready.set()
            if self._stopping.is_set():  # a signal came while anvil was starting
                child.kill()
            return child

    def _load(self) -> Anvil:
        pinned = self._home / "chain.json"
        if not pinned.exists():
            genesis_time = int(time.time())
            child = Anvil.start(self._home, self._chain_id, genesis_time, None)
            child.save(self._state, self._previous)
            write_atomic(pinned, json.dumps({"chain_id": self._chain_id, "genesis_time": genesis_time}).encode())
            return child
        pinned_values = json.loads(pinned.read_bytes())
        if pinned_values["chain_id"] != self._chain_id:
            raise Misconfigured(
                f"{pinned}: got chain id {pinned_values['chain_id']}, want {self._chain_id}; a chain keeps its id:"
                " use another folder"
            )
        for state in (self._state, self._previous):
            if loadable(state):
                return Anvil.start(self._home, self._chain_id, pinned_values["genesis_time"], state)
        raise Misconfigured(
            f"{self._home}: got no whole state of the chain, want state.json; restore it from a copy, or remove the"
            " folder"
        )


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    with (home / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Misconfigured(
                f"{home}: a development chain runs in this folder already; stop it, or choose another folder"
            ) from error
        yield


def run(home: Path, port: int, chain_id: int = CHAIN_ID, bind: str = "127.0.0.1") -> None:
    """Run the development chain in `home` until SIGTERM or SIGINT; raises Misconfigured when another one runs there."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    chain = DevelopmentChain(home, chain_id)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: chain.stop())
    with _only_one(home):
        server = serve(chain, bind, port)
        try:
            chain.supervise()
        finally:
            server.shutdown()
            chain.stop()


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.devchain.devchain", description="Wardround's embedded development chain"
    )
    parser.add_argument("--home", type=Path, required=True, help="folder that holds the chain")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chain-id", type=int, default=CHAIN_ID)
    parser.add_argument("--bind", default="127.0.0.1")
    arguments = parser.parse_args()
    log.begin("chain")
    try:
        run(arguments.home.resolve(), arguments.port, arguments.chain_id, arguments.bind)
    except WardroundError as error:
        _LOG.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
