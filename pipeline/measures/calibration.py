"""Whether scores mean what they say: reliability per bin, expected calibration error and Brier score.

A record's score is taken for the middle of its bin, so that error and Brier score are those of the scores themselves
up to half a bin's width, and a whole one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.measures.intervals import LEVEL, Estimate, bounded_mean, share
from pipeline.measures.scores import BINS, Histogram


@dataclass(frozen=True)
class ReliabilityBin:
    """Records of one bin of scores, and how many of them are of the class."""

    score: float
    """The middle of the bin."""
    records: int
    own: int

    @property
    def observed(self) -> Estimate | None:
        """Share of the records that are of the class, with Wilson's interval; None of none."""
        return share(self.own, self.records)


@dataclass(frozen=True)
class Calibration:
    """How far one class's scores are from the shares that they claim."""

    bins: tuple[ReliabilityBin, ...]
    error: Estimate
    """Expected calibration error: how far observed share and score lie apart, over all records."""
    brier: Estimate
    """Mean squared distance of score and truth."""


def calibration(histogram: Histogram) -> Calibration | None:
    """Of a class's histogram; None of no record."""
    bins = tuple(
        ReliabilityBin((index + 0.5) / BINS, own + others, own)
        for index, (own, others) in enumerate(zip(histogram.own, histogram.others, strict=True))
    )
    total = sum(one.records for one in bins)
    if not total:
        return None
    brier = math.fsum(one.own * (1 - one.score) ** 2 + (one.records - one.own) * one.score**2 for one in bins) / total
    return Calibration(bins, _error(bins, total), bounded_mean(brier, total))


def _error(bins: tuple[ReliabilityBin, ...], total: int) -> Estimate:
    """With Scheffé's simultaneous limits (Biometrika 40, 1953), which hold whatever the shares of all bins do together.

    The variance of a bin's share is that of Agresti and Coull's estimate, which a bin of one kind does not make zero.
    """
    from scipy.special import chdtri

    filled = [one for one in bins if one.records]
    value = math.fsum(abs(one.own - one.score * one.records) for one in filled) / total
    shares = [(one.own + 2) / (one.records + 4) for one in filled]
    spread = math.fsum(one.records * one_share * (1 - one_share) for one, one_share in zip(filled, shares, strict=True))
    reach = math.sqrt(chdtri(len(filled), 1 - LEVEL) * spread) / total
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))
