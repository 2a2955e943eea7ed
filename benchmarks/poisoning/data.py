"""Each simulated hospital's records.

Dealt, split into training and validation pool, and drawn from as in the product.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from benchmarks.poisoning.features import STUDY, FeaturedPictures
from benchmarks.poisoning.kinds import Stamp
from benchmarks.poisoning.triggers import stamped
from pipeline.datasets import DATASETS, Records, Samples
from pipeline.datasets.pool import draw, split
from pipeline.domain import HospitalName, RoundId, Sha256
from pipeline.host.secret import Secret
from pipeline.layers import Network
from pipeline.setup.partition import deal
from pipeline.site.settings import PROJECT, Settings
from pipeline.study.fields import Partition
from pipeline.study.study import Study
from pipeline.study.study_files import load_studies

HEAD = "pneumonia_head"
"""The pictures of `pneumonia`, dealt alike, by a public backbone's features."""

_DIGEST = Sha256("0" * 64)


@dataclass(frozen=True, eq=False)
class Hospital:
    """One hospital's records; equal only to itself, so that what was computed of it can be remembered."""

    name: HospitalName
    training: Samples
    pool: Samples
    secret: Secret

    def drawn(self, count: int, round_id: int) -> Samples:
        """The round's fresh validation samples."""
        return _drawn(self, count, round_id)


@dataclass(frozen=True, eq=False)
class World:
    """One seed's consortium: hospitals, test records, network; equal only to itself."""

    hospitals: tuple[Hospital, ...]
    test: Samples
    network: Network
    input_range: tuple[int, int]
    stamp: Stamp = stamped
    """How a backdoor's trigger comes into the records."""


@lru_cache(maxsize=1024)
def _drawn(hospital: Hospital, count: int, round_id: int) -> Samples:
    return draw(hospital.pool, count, hospital.secret, _DIGEST, RoundId(round_id), hospital.name)


@lru_cache(maxsize=4)
def world(dataset: str, hospitals: int, alpha: float, floor: int, seed: int) -> World:
    """Deal the data set out with `seed`."""
    if dataset == "heart_disease":
        return _heart(seed)
    study = _study(dataset)
    published = _study("pneumonia") if dataset == HEAD else study
    names = tuple(HospitalName(f"h{index:02d}") for index in range(hospitals))
    dealing = published.model_copy(
        update={"seed": seed, "hospitals": names, "partition": Partition(alpha=alpha, per_class=floor)}
    )
    train, test = _records(published.dataset)
    parts = deal(dealing, train, test) if floor >= 4 else _deal_freely(dealing, train, test)
    pictures = _featured() if dataset == HEAD else None
    encoded = pictures.samples if pictures else study.source.samples
    members = [_hospital(name, encoded(parts[name][0]), seed) for name in names]
    stamp = pictures.stamp if pictures else stamped
    return World(tuple(members), encoded(test), study.network, study.source.input_range, stamp)


def _deal_freely(study: Study, train: Records, test: Records) -> dict[HospitalName, tuple[Records, Records]]:
    # a few records each, so that everyone can train and validate at all
    return deal(
        study.model_copy(update={"partition": Partition(alpha=study.partition.alpha, per_class=3)}), train, test
    )


def _hospital(name: HospitalName, samples: Samples, seed: int) -> Hospital:
    secret = Secret(f"laboratory {seed} {name}".encode().ljust(32, b".")[:32])
    rows, pool = split(samples, secret)
    return Hospital(name, samples[rows], samples[pool], secret)


@cache
def _study(dataset: str) -> Study:
    if dataset == HEAD:
        return Study.load(STUDY)
    return next(study for study in load_studies(PROJECT / "studies").values() if study.dataset == dataset)


@cache
def _featured() -> FeaturedPictures:
    return FeaturedPictures(_study(HEAD), _records("pneumonia"), Settings.load())


@cache
def _records(dataset: str) -> tuple[Records, Records]:
    return DATASETS[dataset].load(Settings.load().searched)


def _heart(seed: int) -> World:
    """Each site's own patients, the test records drawn anew with the seed: a fourth of each class of each site."""
    study = _study("heart_disease")
    records = [study.source.samples(part) for part in _records("heart_disease")]
    sites = np.concatenate(
        [[str(record_id).rsplit("-", 1)[0] for record_id in part.ids] for part in _records("heart_disease")]
    )
    everyone = Samples(
        np.concatenate([part.inputs for part in records]), np.concatenate([part.labels for part in records])
    )
    rng = np.random.default_rng(seed)
    test = np.zeros(len(everyone), dtype=bool)
    for site in study.hospitals:
        for label in range(study.network.classes):
            rows = rng.permutation(np.flatnonzero((sites == site) & (everyone.labels == label)))
            test[rows[: len(rows) // 4]] = True
    members = [_hospital(name, everyone[np.flatnonzero(~test & (sites == name))], seed) for name in study.hospitals]
    return World(tuple(members), everyone[np.flatnonzero(test)], study.network, study.source.input_range)
