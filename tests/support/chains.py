"""A real anvil behind its filter, started as the product starts it, and a consortium of keys on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from pipeline.chain.ledger import Ledger, deploy, study_id
from pipeline.chain.outbox import Outbox, Receipt
from pipeline.domain import Abort, Address, HospitalKey, Reason, Result, RoundId, Sha256
from pipeline.evidence.membership import membership
from pipeline.evidence.signing import sign_abort, sign_change, sign_vote
from pipeline.host import ports
from pipeline.host.secret import Secret
from pipeline.ledger_types.events import StudyId
from pipeline.site.consortium import LedgerLocation
from pipeline.site.identity import SigningKey
from pipeline.site.settings import PROJECT

CHAIN_ID = 31337
MODEL = Sha256("10" * 32)
DIGEST = Sha256("20" * 32)
ROOT = Sha256("30" * 32)
NEW_MODEL = Sha256("40" * 32)
MANIFEST = Sha256("35" * 32)
SEALING_KEYS = tuple(Sha256(f"{node:02x}" * 32) for node in range(3))


def named(*hospitals: SigningKey) -> dict[str, Any]:
    """Terms of a study of these hospitals, as far as the ledger asks for them."""
    return {"hospitals": {f"hospital-{index}": key.address for index, key in enumerate(hospitals)}}


@dataclass
class Devchain:
    """`python -m pipeline.devchain.devchain` in a folder of its own."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "pipeline.devchain.devchain",
            "--home",
            str(self.home),
            "--port",
            str(self.port),
        ]
        self.process = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL)
        self.wait_ready()

    def wait_ready(self) -> None:
        for _ in range(600):
            assert self.process is not None
            assert self.process.poll() is None, "the development chain ended at its start"
            try:
                if httpx.get(self.url, trust_env=False).json()["ready"]:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise AssertionError("the development chain did not start")

    def anvil_pid(self) -> int:
        return int((self.home / "anvil.pid").read_text())

    def kill_anvil(self) -> None:
        os.kill(self.anvil_pid(), signal.SIGKILL)

    def kill_supervisor(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=30)

    def rpc(self, method: str, *params: object) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = httpx.post(self.url, json=request, timeout=60, trust_env=False).json()
        assert "error" not in answer, answer
        return answer["result"]

    def blocks(self) -> list[str]:
        height = int(self.rpc("eth_blockNumber"), 16)
        return [self.rpc("eth_getBlockByNumber", hex(number), False)["hash"] for number in range(height + 1)]


def anvil(chain: Path) -> int:
    """The process of anvil behind a development chain, by the chain's folder."""
    return int((chain / "anvil.pid").read_text())


def past_devchain(chain: Path, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
    """Ask anvil itself, as the development chain's operator can; every call's result. `chain` is the chain's folder."""
    command = psutil.Process(anvil(chain)).cmdline()
    port = command[command.index("--port") + 1]
    batch = [
        {"jsonrpc": "2.0", "id": index, "method": name, "params": given} for index, (name, given) in enumerate(calls)
    ]
    answers = httpx.post(f"http://127.0.0.1:{port}", json=batch, trust_env=False, timeout=60).raise_for_status().json()
    return [answer["result"] for answer in answers]


def pass_deadline(chain: Path, ledger: Ledger, round_id: RoundId) -> None:
    """Set a development chain's clock beyond the time at which anybody may abort the round, as its operator can."""
    late = ledger.round(round_id).opened.result_deadline - ledger.block_time() + 1
    if late > 0:
        past_devchain(chain, [("evm_increaseTime", [late])])


@contextmanager
def devchain(folder: Path) -> Iterator[Devchain]:
    """A chain that nobody kills."""
    chain = Devchain(folder / "chain", ports.choose())
    chain.start()
    yield chain
    assert chain.stop() == 0


@dataclass
class Actors:
    """A ledger with one provider, three nodes, a stranger, and an outbox for each."""

    url: str
    folder: Path
    provider: SigningKey = field(default_factory=lambda: SigningKey(Secret.generate()))
    nodes: tuple[SigningKey, ...] = field(
        default_factory=lambda: tuple(SigningKey(Secret.generate()) for _ in range(3))
    )
    stranger: SigningKey = field(default_factory=lambda: SigningKey(Secret.generate()))
    _sent: int = 0
    _rounds: int = 0

    def __post_init__(self) -> None:
        self.contract: Address = deploy(self.outbox(self.provider))
        self.ledger = Ledger.connect(
            self.url, LedgerLocation(chain_id=CHAIN_ID, contract=self.contract, development=True)
        )

    def outbox(self, key: SigningKey) -> Outbox:
        return Outbox(self.folder, key, self.url, CHAIN_ID)

    def send(self, key: SigningKey, call: Any) -> Receipt:
        self._sent += 1
        return self.outbox(key).send(call, f"test-{self._sent}")

    def new_study(self, name: str) -> StudyId:
        study = study_id(name)
        self.send(self.provider, self.ledger.register_study(study, [node.address for node in self.nodes], MODEL))
        return study

    def hospital(self) -> SigningKey:
        """A hospital that registered and that the provider authorised."""
        key = SigningKey(Secret.generate())
        self.send(key, self.ledger.register_hospital())
        self.send(self.provider, self.ledger.authorise_hospitals([key.address]))
        return key

    def moved_on(self, hospital: SigningKey, successor: SigningKey | None = None) -> SigningKey:
        """The key that a hospital moved on to, a fresh one unless it is given."""
        successor = successor or SigningKey(Secret.generate())
        signature = sign_change(HospitalKey(hospital.address, successor.address), CHAIN_ID, self.contract, successor)
        self.send(hospital, self.ledger.rotate_hospital_key(successor.address, signature))
        return successor

    def commit_directly(
        self,
        round_id: RoundId,
        terms: Mapping[str, Any],
        hospital: SigningKey,
        manifest: Sha256 = MANIFEST,
        account: Address | None = None,
    ) -> Receipt:
        """A hospital commits directly, as the one that the study's terms name by `account`, or by its key."""
        shown = membership(terms, account or hospital.address)
        return self.send(hospital, self.ledger.commit_directly(self.ledger.round(round_id), manifest, shown))

    def open(
        self, study: StudyId, *, round_id: int | None = None, commit_in: int = 600, result_in: int = 1200, **change: Any
    ) -> RoundId:
        """Open a round with the given terms; its number is a fresh one."""
        self._rounds += 1
        number = RoundId(self._rounds if round_id is None else round_id)
        now = self.ledger.block_time()
        terms: dict[str, Any] = {
            "study_digest": DIGEST,
            "previous_model": self.ledger.study(study).current_model if self.ledger.has_study(study) else MODEL,
            "sealing_keys": SEALING_KEYS,
            "commit_deadline": now + commit_in,
            "result_deadline": now + result_in,
        }
        self.send(change.pop("sender", self.provider), self.ledger.open_round(number, study, **{**terms, **change}))
        return number

    def committed(self, study: StudyId, **terms: Any) -> RoundId:
        number = self.open(study, **terms)
        self.send(self.provider, self.ledger.commit_round(number, ROOT))
        return number

    def result(self, round_id: RoundId, new_model: Sha256 = NEW_MODEL) -> Result:
        """A result that fits the round."""
        opened = self.ledger.round(round_id).opened
        return Result(round_id, opened.study_digest, ROOT, 0b10111, opened.previous_model, new_model, Sha256("50" * 32))

    def sign(self, result: Result, *keys: SigningKey) -> list[str]:
        return [sign_vote("node", result, CHAIN_ID, self.contract, key).signature for key in keys]

    def end(self, round_id: RoundId, *blamed: Address) -> Abort:
        """An end without a model that fits the round."""
        opened = self.ledger.round(round_id).opened
        return Abort(round_id, opened.study_digest, ROOT, opened.previous_model, Reason.TOO_FEW_ACCEPTED, blamed)

    def sign_end(self, abort: Abort, *keys: SigningKey) -> list[str]:
        return [sign_abort("node", abort, CHAIN_ID, self.contract, key).signature for key in keys]

    def send_end(self, abort: Abort, signatures: Sequence[str], round_id: RoundId | None = None) -> Receipt:
        """A stranger sends an end of a round, its own or another."""
        state = self.ledger.round(round_id or abort.round)
        return self.send(self.stranger, self.ledger.abort_by_nodes(state, abort, signatures))

    def wait_until(self, block_time: int) -> None:
        while self.ledger.block_time() <= block_time:
            time.sleep(0.2)
