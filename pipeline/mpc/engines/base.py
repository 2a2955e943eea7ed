"""What an engine of encrypted computation answers: each call runs ONE party.

The other nodes run theirs at the same time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pipeline.domain import Condition, EngineStats, HospitalName, Sha256
from pipeline.layers import CHECKED, PROJECTED, Network, WeightBounds
from pipeline.mpc import rule
from pipeline.site.settings import Settings

Components = Mapping[HospitalName, Mapping[int, npt.NDArray[np.int64]]]
"""Hospital to component index to its words; a party i of n holds every index but i."""


@dataclass(frozen=True)
class RuleParameters:
    """The public numbers of the rule for one round (`pipeline.mpc.reference` says how they act)."""

    samples: int
    """Validation samples per hospital."""
    input_range: tuple[int, int]
    """Smallest and largest encoded input, 8 fractional bits."""
    below_global_percent: int
    below_peers_percent: int
    budget: int | None
    """Largest squared norm of an update, 32 fractional bits; None in a study's first round."""
    weakest_class_below_global_percent: int = 20
    weakest_class_below_peers_percent: int = 19
    names_condition: bool = False
    """Whether the first condition that a rejected update failed is opened too."""
    panel: int | None = None
    """Hospitals on whose samples each model is tried, where the study draws them; None: all."""


@dataclass(frozen=True)
class Payload:
    """Layout of the one vector that a hospital shares: update, validation inputs, one-hot labels, in this order."""

    network: Network
    samples: int

    @property
    def length(self) -> int:
        """Number of 64-bit words."""
        return self.network.size + self.samples * (int(np.prod(self.network.input_shape)) + self.network.classes)


@dataclass(frozen=True)
class VerifyTask:
    """Public inputs of one verification."""

    hospitals: tuple[HospitalName, ...]
    """Hospitals of the input set, in the study's order, or as drawn where there are panels (`pipeline.mpc.panels`)."""
    network: Network
    rule: RuleParameters
    previous_model: npt.NDArray[np.int64]
    """Global model, (network.size,), 16 fractional bits."""

    conditions: ClassVar[tuple[Condition, ...]] = (Condition.SIZE, Condition.DIRECTION, Condition.PEERS)
    weights: ClassVar[WeightBounds] = CHECKED
    """Of every model that is tried."""

    @property
    def names_condition(self) -> bool:
        """As the rule says."""
        return self.rule.names_condition

    @property
    def panel(self) -> int | None:
        """As the rule says; None where no more hospitals than that take part, so that all try every model."""
        panel = self.rule.panel
        return panel if panel is not None and panel < len(self.hospitals) else None

    @property
    def limits(self) -> tuple[int, int]:
        """The budget, 0 where there is none yet, and the margin of the direction, as the program takes them."""
        return self.rule.budget or 0, rule.direction_margin(self.rule.budget)


@dataclass(frozen=True)
class ProjectedTask(VerifyTask):
    """Public inputs of one verification of a large model's updates.

    Size and direction are those of projections (`pipeline.mpc.projections`); peers try the whole models.
    """

    seed: Sha256
    """What the projections were made from."""

    weights: ClassVar[WeightBounds] = PROJECTED

    @property
    def limits(self) -> tuple[int, int]:
        """The budget, at most the cap on squared norms, and the margin of the projections' direction."""
        return rule.projected_limit(self.rule.budget), rule.projected_margin(self.rule.budget)


@dataclass(frozen=True)
class VerifyOutput:
    """All that a verification reveals."""

    accepted: tuple[bool, ...]
    """One bit per hospital of the task."""
    budget: int
    """Largest squared norm of an update in the next round, 32 fractional bits."""
    stats: EngineStats
    failed: tuple[Condition | None, ...] = ()
    """The first condition that each update failed, None where accepted; empty unless the task names it."""

    def failures(self, names: Sequence[HospitalName]) -> dict[HospitalName, Condition]:
        """Of the task's hospitals those that were rejected, with the condition; empty unless the task names it."""
        return {name: failed for name, failed in zip(names, self.failed, strict=bool(self.failed)) if failed}


@dataclass(frozen=True)
class AggregateTask:
    """Public inputs of one aggregation: only the updates of the accepted hospitals enter."""

    hospitals: tuple[HospitalName, ...]
    """Accepted hospitals, in the study's order; at least 3."""
    size: int
    """Coordinates of a vector."""


@dataclass(frozen=True)
class RangeTask:
    """Public inputs of one check that every coordinate of each hospital's vector lies within the cap on coordinates."""

    hospitals: tuple[HospitalName, ...]
    """Hospitals of the input set, in the study's order."""
    size: int
    """Coordinates of a vector."""


Task = VerifyTask | RangeTask | AggregateTask


@dataclass(frozen=True)
class RangeOutput:
    """All that a check of ranges reveals."""

    within: tuple[bool, ...]
    """One bit per hospital of the task."""
    stats: EngineStats


@dataclass(frozen=True)
class AggregateOutput:
    """All that an aggregation reveals: per coordinate the sum of the middle `count` updates."""

    total: npt.NDArray[np.int64]
    """(size,), 16 fractional bits."""
    count: int
    stats: EngineStats


def nobody() -> None:
    """Nobody gave up, as far as anybody knows."""


@dataclass(frozen=True)
class Party:
    """One node's place in a computation."""

    index: int
    hosts: tuple[str, ...]
    """host:port of every party, by index; distinct ports on one machine."""
    certificate: Path
    """This node's TLS certificate, PEM."""
    private_key: Path
    peer_certificates: tuple[Path, ...]
    """Pinned certificate of every party, by index, PEM."""
    workdir: Path
    """Where a private folder (mode 700) is made for the run and wiped after it, whatever happens."""
    log: Path
    """Where the party's log is kept, without secrets."""
    deadline_seconds: float
    """Wall seconds after which the run is killed."""
    patience_seconds: float = 30.0
    """Seconds without a sign of life after which a peer is given up."""
    gave_up: Callable[[], str | None] = nobody
    """Who of the peers will not come any more and how that is known, asked while this party waits for them."""

    def peer_name(self, index: int) -> str:
        """A party as messages name it."""
        return f"node {index} ({self.hosts[index]})"


class Engine(ABC):
    """One engine; a study names it and nothing substitutes it."""

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, settings: Settings) -> None:
        """On this machine."""

    @abstractmethod
    def problems(self) -> tuple[str, ...]:
        """What is missing on this machine, each with the way to mend it; empty when the engine can run."""

    @abstractmethod
    def digest(self, protocol: str) -> Sha256:
        """SHA-256 over all that decides what a party computes, programs and installed engine.

        Parties compare it, and the record has it.
        """

    @abstractmethod
    def prepare(self, protocol: str, task: Task) -> None:
        """Compile for tasks of this shape into the user's cache, so that no round waits for it; raises EngineFailed."""

    @abstractmethod
    def verify(self, protocol: str, task: VerifyTask, components: Components, party: Party) -> VerifyOutput:
        """Run this party of the verification; raises EngineFailed naming the party or peer and the cause."""

    @abstractmethod
    def verify_projected(
        self, protocol: str, task: ProjectedTask, projections: Components, components: Components, party: Party
    ) -> VerifyOutput:
        """Run this party of a large model's verification, on components of projections and of what `verify` takes.

        Raises EngineFailed naming party and cause.
        """

    @abstractmethod
    def check_range(self, protocol: str, task: RangeTask, components: Components, party: Party) -> RangeOutput:
        """Run this party of a check of ranges; raises EngineFailed naming the party or peer and the cause."""

    @abstractmethod
    def aggregate(self, protocol: str, task: AggregateTask, components: Components, party: Party) -> AggregateOutput:
        """Run this party of the trimmed mean; raises EngineFailed naming the party or peer and the cause."""
