"""An encrypted verification outside a round: every party on this machine, with inputs that are nobody's."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.domain import Address, Context, HospitalName, RoundId, Sha256
from pipeline.errors import EngineFailed
from pipeline.host import ports
from pipeline.host.secret import Secret
from pipeline.layers import Network
from pipeline.layers.linear import Linear
from pipeline.layers.relu import ReLU
from pipeline.mpc import reference, sharing
from pipeline.mpc.engines.base import Engine, RuleParameters, VerifyOutput, VerifyTask
from pipeline.mpc.local_parties import deal, local_parties, run_together
from pipeline.site import certificates

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
    # Fresh secrets keep these components apart from any others'; the context has nothing to tell.
    context = Context(0, Address("trial"), Sha256("0" * 64), RoundId(0), Sha256("0" * 64))
    shared = {name: sharing.share(payload, nodes, Secret.generate(32), context) for name, payload in payloads.items()}
    held = deal(shared, nodes)
    with tempfile.TemporaryDirectory() as name:
        homes = [Path(name) / str(index) for index in range(nodes)]
        for index, home in enumerate(homes):
            certificates.create(home, f"trial-{index}-{secrets.token_hex(4)}", ports.LOOPBACK)
        parties = local_parties(homes, homes, DEADLINE_SECONDS)
        return run_together(parties, lambda party: engine.verify(protocol, task, held[party.index], party))


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
