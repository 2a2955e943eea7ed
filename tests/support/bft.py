"""A real BFT network on loopback.

Four of Kaia's consensus nodes (Istanbul BFT), Ethereum's forks up to Cancun, no fees.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import rlp
from eth_keys import keys
from web3 import HTTPProvider, Web3
from web3.exceptions import Web3Exception

from pipeline.host.files import write_secret
from pipeline.site.settings import Settings
from pipeline.tools.development import bft_validator
from tests.support.alone import interfaces

CHAIN_ID = 20260
VALIDATORS = 4
_RPC_PORT = 18551
_PEER_PORT = 32323
_START_SECONDS = 120
_FORKS = ("istanbul", "london", "ethTxType", "magma", "kore", "shanghai", "cancun")


class Network:
    """Validators 0 to 3, each a process and a folder of its own, to be killed and started again."""

    def __init__(self, folder: Path) -> None:
        assert interfaces() == ["lo"], "want a network namespace of its own; run `make test-bft`"
        self._folder = folder
        self._binary = bft_validator(Settings.load())
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._keys = [keys.PrivateKey(secrets.token_bytes(32)) for _ in range(VALIDATORS)]
        folder.mkdir()
        genesis = folder / "genesis.json"
        genesis.write_text(json.dumps(self._genesis()))
        peers = [
            f"kni://{key.public_key.to_hex()[2:]}@127.0.0.1:{_PEER_PORT + index}?discport=0&ntype=cn"
            for index, key in enumerate(self._keys)
        ]
        for index, key in enumerate(self._keys):
            home = self._home(index)
            home.mkdir()
            write_secret(home / "nodekey", key.to_hex()[2:].encode())
            (home / "static-nodes.json").write_text(json.dumps(peers))
            subprocess.run([self._binary, "init", "--datadir", home, genesis], check=True, capture_output=True)
        self.url = self.urls[0]
        # One after the other: at once, each misses the others' first calls and waits out a time-out.
        for index in range(VALIDATORS):
            self.start(index)
            self._await_rpc(index)
        self.until(lambda: min(self.heights()) >= 1)

    @property
    def urls(self) -> list[str]:
        """JSON-RPC of every validator."""
        return [f"http://127.0.0.1:{_RPC_PORT + index}" for index in range(VALIDATORS)]

    def start(self, index: int) -> None:
        """Start a validator on what its folder holds."""
        home = self._home(index)
        key = self._keys[index]
        options: dict[str, Any] = {
            "datadir": home,
            "networkid": CHAIN_ID,
            "nodekey": home / "nodekey",
            "port": _PEER_PORT + index,
            "nat": "none",
            "srvtype": "http",
            "rewardbase": key.public_key.to_checksum_address(),
            "rpcaddr": "127.0.0.1",
            "rpcport": _RPC_PORT + index,
            "rpcapi": "eth,net,web3,kaia,istanbul",
            "block-generation-interval": 1,
            "state.block-interval": 1,
            "gcmode": "archive",
            "db.leveldb.cache-size": 64,
            "state.cache-size": 64,
            "verbosity": 2,
        }
        switches = ("--rpc", "--nodiscover", "--ntp.disable", "--ipcdisable")
        command = [
            str(self._binary),
            *switches,
            *(word for name, value in options.items() for word in (f"--{name}", str(value))),
        ]
        with (home / "log").open("ab") as log:
            # Killed with the tests, however those end.
            self._processes[index] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self, *validators: int) -> None:
        """kill -9."""
        for index in validators:
            process = self._processes.pop(index)
            process.kill()
            process.wait()

    def stop(self) -> None:
        """End all of them."""
        self.kill(*self._processes)

    @property
    def running(self) -> set[int]:
        """Validators that run."""
        return set(self._processes)

    def client(self, index: int) -> Web3:
        """A validator's JSON-RPC."""
        return Web3(HTTPProvider(self.urls[index], request_kwargs={"timeout": 10}))

    def heights(self) -> list[int]:
        """Number of the latest block of every validator that runs."""
        return [int(self.client(index).eth.block_number) for index in sorted(self._processes)]

    def until(self, ask: Any, seconds: float = _START_SECONDS) -> None:
        """Ask until the answer is true; a validator that does not answer yet is asked again."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if ask():
                    return
            except (OSError, Web3Exception):
                pass
            assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain; heights {self._processes.keys()}"
            time.sleep(0.1)

    def _await_rpc(self, index: int) -> None:
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}

        def answers() -> bool:
            assert self._processes[index].poll() is None, (self._home(index) / "log").read_text()[-2000:]
            try:
                return bool(httpx.post(self.urls[index], json=request).json()["result"])
            except httpx.HTTPError:
                return False

        self.until(answers)

    def _home(self, index: int) -> Path:
        return self._folder / f"validator-{index}"

    def _genesis(self) -> dict[str, Any]:
        addresses = [key.public_key.to_canonical_address() for key in self._keys]
        extra = bytes(32) + rlp.encode([addresses, bytes(65), []])
        reward = {
            "mintingAmount": 0,
            "ratio": "100/0/0",
            "kip82ratio": "20/80",
            "useGiniCoeff": False,
            "deferredTxFee": True,
            "stakingUpdateInterval": 86400,
            "proposerUpdateInterval": 3600,
            "minimumStake": 0,
        }
        # A base fee of 0 at both bounds: accounts without a balance transact.
        fees = {
            "lowerboundbasefee": 0,
            "upperboundbasefee": 0,
            "gastarget": 30_000_000,
            "maxblockgasusedforbasefee": 60_000_000,
            "basefeedenominator": 20,
        }
        governance = {
            "governingNode": self._keys[0].public_key.to_checksum_address(),
            "governanceMode": "none",
            "govParamContract": "0x" + "00" * 20,
            "reward": reward,
            "kip71": fees,
        }
        return {
            "config": {
                "chainId": CHAIN_ID,
                **{f"{fork}CompatibleBlock": 0 for fork in _FORKS},
                "istanbul": {"epoch": 3600, "policy": 0, "sub": 22},
                "unitPrice": 0,
                "deriveShaImpl": 0,
                "governance": governance,
            },
            "timestamp": hex(int(time.time())),
            "extraData": "0x" + extra.hex(),
            "governanceData": None,
            "blockScore": "0x1",
            "alloc": {},
            "number": "0x0",
            "gasUsed": "0x0",
            "parentHash": "0x" + "00" * 32,
        }
