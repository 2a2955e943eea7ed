"""What a round, a registration and a batch of authorisations cost on the ledger, beside the least that they can.

On a development chain of its own, with the fork that the contract is built for: `python -m benchmarks.gas`.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.chain.contract import Call, artefact
from pipeline.chain.ledger import Ledger, deploy, study_id
from pipeline.chain.outbox import Outbox, Receipt
from pipeline.devchain.anvil import HARDFORK
from pipeline.devchain.devchain import CHAIN_ID, DevelopmentChain
from pipeline.devchain.devhttp import serve
from pipeline.domain import Address, Result, RoundId, Sha256
from pipeline.evidence.canonical import sha256
from pipeline.evidence.signing import sign_vote
from pipeline.host.files import write_atomic
from pipeline.host.secret import Secret
from pipeline.site.consortium import LedgerLocation
from pipeline.site.identity import SigningKey

RESULTS = Path(__file__).parent / "results" / "gas.json"
HOSPITALS = (5, 20, 100)
NODES = (3, 4)
ROUNDS = 3
BATCH = 20

# Yellow Paper, appendix G, with EIP-2028, EIP-2929 and EIP-3529.
_TRANSACTION = 21_000
_NON_ZERO_BYTE = 16
_ZERO_BYTE = 4
_COLD_READ = 2_100
_NEW_SLOT = 22_100
_CHANGED_SLOT = 5_000
_LOG = 375
_LOG_TOPIC = 375
_LOG_BYTE = 8
_RECOVER = 3_000


@dataclass(frozen=True)
class Step:
    """One transaction: what it cost, its calldata, and what no contract can leave out that does the same."""

    gas: int
    data: bytes
    stores: int
    topics: int
    words_logged: int

    @property
    def floor(self) -> int:
        """Gas of the transaction, its calldata, its storage and its event, with no instruction counted in between."""
        calldata = sum(_NON_ZERO_BYTE if byte else _ZERO_BYTE for byte in self.data)
        return (
            _TRANSACTION + calldata + self.stores + _LOG + self.topics * _LOG_TOPIC + 32 * self.words_logged * _LOG_BYTE
        )


def round_gas(chain: _Consortium, hospitals: int, number: RoundId, previous: Sha256) -> tuple[Sha256, list[Step]]:
    """Play one round of `hospitals` and return its new model and its three transactions."""
    ledger = chain.ledger
    now = chain.ledger.block_time()
    digests = [
        sha256(f"{chain.study} {number} {what}".encode()) for what in ("study", "keys", "root", "model", "record")
    ]
    study, keys, root, model, record = digests
    opening = ledger.open_round(
        number,
        chain.study,
        study_digest=study,
        previous_model=previous,
        sealing_keys=[keys],
        commit_deadline=now + 600,
        result_deadline=now + 1200,
    )
    # Opening: the study's last round is read, its slot changed, the round's slot made.
    opened = chain.step(opening, _COLD_READ + _CHANGED_SLOT + _NEW_SLOT, topics=3, words_logged=5)
    # Commit: the provider is read, the round's slot changed.
    committed = chain.step(ledger.commit_round(number, root), _COLD_READ + _CHANGED_SLOT, topics=2, words_logged=1)
    result = Result(number, study, root, (1 << hospitals) - 1, previous, model, record)
    majority = chain.nodes[: len(chain.nodes) // 2 + 1]
    signatures = [sign_vote("node", result, CHAIN_ID, ledger.contract, node).signature for node in majority]
    # Result: each signer's position and threshold are read and its signature recovered, the round's slot changed.
    stores = len(majority) * (_COLD_READ + _RECOVER) + _CHANGED_SLOT
    finalised = chain.step(ledger.finalise_round(result, signatures), stores, topics=2, words_logged=4)
    return model, [opened, committed, finalised]


class _Consortium:
    """A provider, nodes and one study on a ledger."""

    def __init__(self, url: str, folder: Path, nodes: int) -> None:
        self._url = url
        self._folder = folder
        self._sent = 0
        self.provider = _key()
        self.nodes = [_key() for _ in range(nodes)]
        contract: Address = deploy(Outbox(folder, self.provider, url, CHAIN_ID))
        self.ledger = Ledger.connect(url, LedgerLocation(chain_id=CHAIN_ID, contract=contract, development=True))
        self.study = study_id(f"gas of {nodes} nodes")
        self.initial = sha256(b"initial model")
        self.send(self.ledger.register_study(self.study, [node.address for node in self.nodes], self.initial))

    def send(self, call: Call, key: SigningKey | None = None) -> Receipt:
        self._sent += 1
        return Outbox(self._folder, key or self.provider, self._url, CHAIN_ID).send(call, f"step-{self._sent}")

    def step(self, call: Call, stores: int, *, topics: int, words_logged: int) -> Step:
        return Step(self.send(call).gas_used, call.data, stores, topics, words_logged)


def measure() -> dict[str, Any]:
    """Gas per round by number of hospitals, with 3 nodes and with 4, and per registration and authorisation.

    Of three rounds each, the dearest counts.
    """
    measured: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, _chain(Path(folder) / "chain") as url:
        number = 0
        for nodes in NODES:
            chain = _Consortium(url, Path(folder) / f"outbox-{nodes}", nodes)
            model = chain.initial
            gas = {}
            floor = {}
            steps = {}
            for hospitals in HOSPITALS:
                played = []
                for _ in range(ROUNDS):
                    number += 1
                    model, round_steps = round_gas(chain, hospitals, RoundId(number), model)
                    played.append(round_steps)
                dearest = max(played, key=lambda one: sum(step.gas for step in one))
                gas[str(hospitals)] = sum(step.gas for step in dearest)
                floor[str(hospitals)] = sum(step.floor for step in dearest)
                steps[str(hospitals)] = [step.gas for step in dearest]
            if nodes != NODES[0]:
                measured |= {f"round_of_{nodes}_nodes": gas, f"floor_of_{nodes}_nodes": floor}
                continue
            measured |= {"round": gas, "floor": floor, "steps": steps, "nodes": nodes}
            keys = [_key() for _ in range(BATCH)]
            measured["register"] = max(chain.send(chain.ledger.register_hospital(), key).gas_used for key in keys)
            batch = chain.send(chain.ledger.authorise_hospitals([key.address for key in keys]))
            measured |= {"authorise_in_batch": -(-batch.gas_used // BATCH), "batch": BATCH}
    compiler = artefact()["compiler"]
    return measured | {"hardfork": HARDFORK, "solc": compiler["solc"], "openzeppelin": compiler["openzeppelin"]}


@contextmanager
def _chain(home: Path) -> Iterator[str]:
    home.mkdir()
    chain = DevelopmentChain(home, CHAIN_ID)
    server = serve(chain, "127.0.0.1", 0)
    supervisor = threading.Thread(target=chain.supervise)
    supervisor.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        chain.stop()
        supervisor.join()


def _key() -> SigningKey:
    return SigningKey(Secret.generate())


if __name__ == "__main__":
    measured = measure()
    write_atomic(RESULTS, (json.dumps(measured, indent=2) + "\n").encode())
    print(json.dumps(measured, indent=2))
