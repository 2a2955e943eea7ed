"""An encrypted verification outside a round: every party on this machine, with inputs that are nobody's."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.domain import HospitalName
from pipeline.errors import EngineFailed
from pipeline.host import ports
from pipeline.layers import Network
from pipeline.layers.linear import Linear
from pipeline.layers.relu import ReLU
from pipeline.mpc import reference
from pipeline.mpc.engines.base import Components, Engine, Party, RuleParameters, VerifyOutput, VerifyTask
from pipeline.setup import certificates

Words = npt.NDArray[np.int64]

DEADLINE_SECONDS = 300.0

_NETWORK = Network((6,), (Linear(4), ReLU(), Linear(2)))
_HOSPITALS = 4
_SAMPLES = 6
_ONE = 1 << 16


def run(
    engine: Engine, protocol: str, nodes: int, task: VerifyTask, payloads: Mapping[HospitalName, Words]
) -> list[VerifyOutput]:
    """What each party says of a verification; raises EngineFailed."""
    first = ports.choose(nodes)
    dealt = _deal(payloads, nodes)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(nodes) as threads:
        homes = [Path(name) / str(index) for index in range(nodes)]
        for index, home in enumerate(homes):
            certificates.create(home, f"trial-{index}-{secrets.token_hex(4)}", index, ports.LOOPBACK)
        parties = [
            Party(
                index=index,
                hosts=tuple(f"{ports.LOOPBACK}:{first + offset}" for offset in range(nodes)),
                certificate=home / "cert.pem",
                private_key=home / "key.pem",
                peer_certificates=tuple(peer / "cert.pem" for peer in homes),
                workdir=home / "work",
                log=home / "party.log",
                deadline_seconds=DEADLINE_SECONDS,
            )
            for index, home in enumerate(homes)
        ]
        return list(threads.map(lambda party: engine.verify(protocol, task, dealt[party.index], party), parties))


def check(engine: Engine, protocol: str, nodes: int) -> None:
    """Raises EngineFailed unless every party of a small verification says what the reference does."""
    task, payloads = _example()
    engine.prepare(protocol, task)
    wanted = reference.verify(task, payloads)
    for party, output in enumerate(run(engine, protocol, nodes, task, payloads)):
        got = output.accepted, output.budget
        if got != wanted:
            raise EngineFailed(
                f"{engine.name} {protocol}: party {party}: got verdicts and budget {got} of a known verification, want"
                f" {wanted}; this engine must not be used"
            )


def _example() -> tuple[VerifyTask, dict[HospitalName, Words]]:
    """A first round in which one update is too large, the same each time."""
    generator = np.random.default_rng(0)
    names = tuple(HospitalName(f"hospital-{index}") for index in range(_HOSPITALS))
    payloads = {
        name: np.concatenate(
            [
                (generator.standard_normal(_NETWORK.size) * (2.0 if index == _HOSPITALS - 1 else 0.05) * _ONE).astype(
                    np.int64
                ),
                generator.integers(0, 256, _SAMPLES * _NETWORK.input_shape[0]),
                np.eye(_NETWORK.classes, dtype=np.int64)[generator.integers(0, _NETWORK.classes, _SAMPLES)].ravel(),
            ]
        )
        for index, name in enumerate(names)
    }
    model = (generator.standard_normal(_NETWORK.size) * 0.1 * _ONE).astype(np.int64)
    return VerifyTask(names, _NETWORK, RuleParameters(_SAMPLES, (0, 255), 20, 20, None), model), payloads


def _deal(payloads: Mapping[HospitalName, Words], nodes: int) -> list[Components]:
    """What each party holds: of every hospital each component but its own index."""
    generator = np.random.default_rng()
    held: list[dict[HospitalName, Mapping[int, Words]]] = [{} for _ in range(nodes)]
    for name, vector in payloads.items():
        masks = [generator.integers(-(2**63), 2**63, vector.size, dtype=np.int64) for _ in range(nodes - 1)]
        components = [*masks, vector - sum(masks, np.zeros_like(vector))]
        for party in range(nodes):
            held[party][name] = {index: component for index, component in enumerate(components) if index != party}
    return list(held)
