"""What a verification costs: its work at the prices that were fitted to measured ones.

`benchmarks/work.py` writes prices.json; a test holds every measured verification within a factor of 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.evidence.canonical import read_object
from pipeline.layers import Work
from pipeline.mpc.work import VerificationSizes
from pipeline.study.fields import PROTOCOLS
from pipeline.study.study import Study

FILE = Path(__file__).with_name("prices.json")

_SCALES = ((1e9, "billion"), (1e6, "million"))


@dataclass(frozen=True)
class Rates:
    """Of one resource, all nodes together."""

    start: float
    """Whatever the sizes."""
    product: float
    comparison: float
    input: float

    def total(self, work: Work, inputs: int) -> float:
        """For so much work on so many numbers."""
        return self.start + self.product * work.products + self.comparison * work.comparisons + self.input * inputs


@dataclass(frozen=True)
class Prices:
    """Of one protocol."""

    cpu_seconds: Rates
    bytes_sent: Rates

    @classmethod
    def of(cls, protocol: str) -> Prices:
        """As prices.json has them."""
        plain = _prices()["protocols"][protocol]
        return cls(Rates(**plain["cpu_seconds"]), Rates(**plain["bytes_sent"]))


@dataclass(frozen=True)
class VerificationCost:
    """Of one verification, all nodes together, in the layout for nodes that are near one another."""

    tries: int
    """Of a model on a sample."""
    work: Work
    cpu_seconds: float
    """On the machine that was measured."""
    bytes_sent: float

    @classmethod
    def of(cls, study: Study) -> VerificationCost:
        """Of a round of the study."""
        sizes = VerificationSizes(
            study.plan,
            len(study.hospitals),
            study.rule.images_per_hospital,
            panel=study.rule.panel,
            projected=study.evaluation_mode.projects,
        )
        work = sizes.work(study.engine)
        prices = Prices.of(study.protocol)
        projecting = projecting_seconds() * sizes.projected_numbers(PROTOCOLS[study.engine][study.protocol])
        return cls(
            study.tries,
            work,
            prices.cpu_seconds.total(work, sizes.inputs) + projecting,
            prices.bytes_sent.total(work, sizes.inputs),
        )

    def __str__(self) -> str:
        return (
            f"{_count(self.tries)} tries of a model on a sample; {_count(self.work.products)} products,"
            f" {_count(self.work.comparisons)} comparisons; about {_duration(self.cpu_seconds)} of processor time and"
            f" {_size(self.bytes_sent)} sent, all nodes together, on {_prices()['machine']}"
        )


def projecting_seconds() -> float:
    """CPU seconds to project one number of a component."""
    seconds: float = _prices()["projecting_cpu_seconds"]
    return seconds


@cache
def _prices() -> Mapping[str, Any]:
    return read_object(FILE.read_bytes())


def _count(number: int) -> str:
    for scale, name in _SCALES:
        if number >= scale:
            return f"{_rounded(number / scale)} {name}"
    return f"{number:,}"


def _duration(seconds: float) -> str:
    for length, name in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{_rounded(seconds / length)} {name}"
    return f"{_rounded(seconds)} seconds"


def _size(size: float) -> str:
    return f"{_rounded(size / 1e9)} GB" if size >= 1e9 else f"{_rounded(size / 1e6)} MB"


def _rounded(number: float) -> str:
    """Two figures: no more are known."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
