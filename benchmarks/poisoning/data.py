"""Each simulated hospital's records: dealt, split into training and validation pool, and drawn from as in the product."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from pipeline.datasets import DATASETS, Records, Samples
from pipeline.datasets.pool import draw, split
from pipeline.domain import HospitalName, RoundId, Sha256
from pipeline.ingest.partition import deal
from pipeline.layers import Linear, Network, ReLU
from pipeline.secret import Secret
from pipeline.settings import PROJECT, Settings
from pipeline.study import Partition, Study

_DIGEST = Sha256("0" * 64)


@dataclass(frozen=True)
class Hospital:
    """One hospital's records."""

    name: HospitalName
    training: Samples
    pool: Samples
    secret: Secret

    def drawn(self, count: int, round_id: int) -> Samples:
        """The round's fresh validation samples."""
        return draw(self.pool, count, self.secret, _DIGEST, RoundId(round_id), self.name)


@dataclass(frozen=True)
class World:
    """One seed's consortium: hospitals, test records, network."""

    hospitals: tuple[Hospital, ...]
    test: Samples
    network: Network
    input_range: tuple[int, int]


@lru_cache(maxsize=4)
def world(dataset: str, hospitals: int, alpha: float, floor: int, seed: int) -> World:
    """Deal the data set out with `seed`."""
    if dataset == "heart_disease":
        return _heart(seed)
    study = _study(dataset)
    names = tuple(HospitalName(f"h{place:02d}") for place in range(hospitals))
    dealing = study.model_copy(update={"seed": seed, "hospitals": names, "partition": Partition(alpha=alpha, per_class=floor)})
    train, test = _records(dataset)
    parts = deal(dealing, train, test) if floor >= 4 else _deal_freely(dealing, train, test)
    members = [_hospital(name, study.source.samples(parts[name][0]), seed) for name in names]
    return World(tuple(members), study.source.samples(test), study.network, study.source.input_range)


def _deal_freely(study: Study, train: Records, test: Records) -> dict[HospitalName, tuple[Records, Records]]:
    # a few records each, so that everyone can train and validate at all
    return deal(study.model_copy(update={"partition": Partition(alpha=study.partition.alpha, per_class=3)}), train, test)


def _hospital(name: HospitalName, samples: Samples, seed: int) -> Hospital:
    secret = Secret(f"laboratory {seed} {name}".encode().ljust(32, b".")[:32])
    rows, pool = split(samples, secret)
    return Hospital(name, samples[rows], samples[pool], secret)


@cache
def _study(dataset: str) -> Study:
    return next(study for study in map(Study.load, sorted((PROJECT / "studies").glob("*.yaml"))) if study.dataset == dataset)


@cache
def _records(dataset: str) -> tuple[Records, Records]:
    return DATASETS[dataset].load(Settings.load().data)


SITES = ("cleveland", "hungarian", "switzerland", "va")
_MEAN = np.array([54, 0.7, 3.2, 132, 245, 0.15, 0.6, 138, 0.4, 0.9, 1.8, 0.7, 5.0])
_DEVIATION = np.array([9, 0.46, 0.95, 18, 55, 0.36, 0.8, 26, 0.49, 1.1, 0.6, 0.95, 1.95])


@cache
def _sites() -> dict[str, Samples]:
    folder = next(f for f in Settings.load().data if (f / "heart-disease").is_dir()) / "heart-disease"
    found = {}
    for site in SITES:
        rows = np.genfromtxt(folder / f"processed.{site}.data", delimiter=",", missing_values="?")
        values = rows[:, :13].copy()
        values[values[:, 4] == 0, 4] = np.nan
        missing = np.isnan(values)[:, [4, 9, 10, 11, 12]]
        scores = (np.where(np.isnan(values), _MEAN, values) - _MEAN) / _DEVIATION
        encoded = np.clip(np.rint(np.concatenate([scores, missing], axis=1) * 256), -1024, 1024).astype(np.int16)
        found[site] = Samples(encoded, (rows[:, 13] > 0).astype(np.int64))
    return found


def _heart(seed: int) -> World:
    rng = np.random.default_rng(seed)
    members, tests = [], []
    for site, samples in _sites().items():
        order = rng.permutation(len(samples))
        tests.append(samples[order[: len(order) // 4]])
        members.append(_hospital(HospitalName(site), samples[order[len(order) // 4 :]], seed))
    test = Samples(np.concatenate([t.inputs for t in tests]), np.concatenate([t.labels for t in tests]))
    return World(tuple(members), test, Network((18,), (Linear(16), ReLU(), Linear(2))), (-1024, 1024))
