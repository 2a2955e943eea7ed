"""What an encrypted verification would cost here.

A small one between parties of this machine, and the way to the other nodes.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from pipeline.domain import EngineStats, HospitalName
from pipeline.layers import Network
from pipeline.layers.linear import Linear
from pipeline.layers.relu import ReLU
from pipeline.mpc.engines.base import Payload, RuleParameters, VerifyTask
from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.setup.engine import trial
from pipeline.site.consortium import Consortium
from pipeline.site.settings import Settings

PROTOCOL = "replicated-ring"
HOSPITALS = 4
SAMPLES = 16

_NETWORK = Network((30,), (Linear(64), ReLU(), Linear(2)))
_CONNECT_SECONDS = 3.0


@dataclass(frozen=True)
class Cost:
    """Of one layout of the program, over all parties."""

    profile: Profile
    cpu_seconds: float
    wall_seconds: float
    megabytes: float
    rounds: int

    def expected(self, round_trip_seconds: float) -> float:
        """Wall seconds at a round trip between the nodes: a round is one message."""
        return self.wall_seconds + self.rounds * round_trip_seconds / 2


def round_trips(consortium: Consortium) -> Mapping[str, float | None]:
    """Seconds to each node's first port; None for one that does not answer."""
    return {name: _round_trip(node.host) for name, node in consortium.nodes.items()}


def measure(settings: Settings) -> list[Cost]:
    """MLP 30-64-2, 5 models x 64 samples under replicated-ring; raises EngineFailed."""
    names = tuple(HospitalName(f"hospital-{index}") for index in range(HOSPITALS))
    words = {name: np.zeros(Payload(_NETWORK, SAMPLES).length, np.int64) for name in names}
    task = VerifyTask(
        names, _NETWORK, RuleParameters(SAMPLES, (0, 255), 20, 20, None), np.zeros(_NETWORK.size, np.int64)
    )
    return [
        _cost(
            profile,
            [output.stats for output in trial.run(MpSpdz(settings, profile), PROTOCOL, NODES[PROTOCOL], task, words)],
        )
        for profile in Profile
    ]


def _cost(profile: Profile, stats: list[EngineStats]) -> Cost:
    return Cost(
        profile,
        sum(party.cpu_seconds for party in stats),
        max(party.wall_seconds for party in stats),
        sum(party.bytes_sent for party in stats) / 1e6,
        max(party.rounds or 0 for party in stats),
    )


def _round_trip(host: str) -> float | None:
    name, _, port = host.rpartition(":")
    start = time.monotonic()
    # a port that refuses has answered too
    with suppress(ConnectionRefusedError):
        try:
            socket.create_connection((name, int(port)), timeout=_CONNECT_SECONDS).close()
        except ConnectionRefusedError:
            raise
        except OSError:
            return None
    return time.monotonic() - start
