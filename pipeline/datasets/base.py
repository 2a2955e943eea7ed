"""What a data set plug-in answers, and the two forms of a record: as published, and encoded for a model."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets.measured import Counted, MeasuredInput
from pipeline.datasets.patients import PATIENT, Patients, SecretSource, check, hashed
from pipeline.errors import Refused
from pipeline.host.secret import Secret

if TYPE_CHECKING:
    import pandas as pd
    import torch

SPLITS = ("train", "test")
"""Values of the column `split` of a hospital's records."""

RECORDS = "records.csv"
"""A hospital's table of records: record_id, split, the data set's own columns, label."""

TEST_EVERY = 4
"""Where a table has no column `split`, one patient of so many, by a hash of the id, is for testing."""


@dataclass(frozen=True)
class Samples:
    """Encoded records.

    `inputs` (n, *shape) int16 with 8 fractional bits, `labels` (n,) int64 in 0..classes-1, `patients` (n,) keyed hashes
    or None where each record is its own patient's.
    """

    inputs: npt.NDArray[np.int16]
    labels: npt.NDArray[np.int64]
    patients: Patients | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Samples:
        return Samples(self.inputs[rows], self.labels[rows], None if self.patients is None else self.patients[rows])

    def __repr__(self) -> str:
        return f"Samples({len(self)} records)"


@dataclass(frozen=True)
class Records:
    """Records as published.

    `ids` (n,) text, `values` (n, ...) in the publisher's units, `labels` (n,) int64 in 0..classes-1, `patients` (n,)
    text or None.
    """

    ids: npt.NDArray[np.str_]
    values: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    patients: npt.NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Records:
        return Records(
            self.ids[rows],
            self.values[rows],
            self.labels[rows],
            None if self.patients is None else self.patients[rows],
        )

    def __repr__(self) -> str:
        return f"Records({len(self)} records)"


@dataclass(frozen=True)
class PredictionBatch:
    """Records to predict.

    `ids` (n,) text, `values` (n, ...) as in Records, `frame` their cells as the contract sees them.
    """

    ids: npt.NDArray[np.str_]
    values: npt.NDArray[Any]
    frame: pd.DataFrame

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Questions({len(self)} records)"


@dataclass(frozen=True)
class Split:
    """Training and test samples of one hospital or of the whole data set."""

    train: Samples
    test: Samples


class Dataset(ABC):
    """One data set: public shape, encoding and contract, where its records come from, and their files at a hospital."""

    name: str
    title: str
    shape: tuple[int, ...]
    """Shape of one sample: (channels, height, width) or (features,)."""
    classes: tuple[str, ...]
    """Class names in the order of their labels."""
    input_range: tuple[int, int]
    """Smallest and largest encoded input, 8 fractional bits; checked under encryption too."""
    source: str
    """Publisher and licence."""
    sites: tuple[str, ...] = ()
    """The hospitals that the publisher's records come from, where it says so: a record's id then starts with its site
    and a dash."""

    published_split: bool = False
    """Whether the publisher says which records are for testing."""

    @property
    def measured(self) -> Sequence[MeasuredInput]:
        """Inputs without constants yet, which a study's first round measures."""
        return ()

    def statistics(self, folder: Path) -> Sequence[Counted]:
        """Of each measured input the values of a folder's training records; foreign exceptions pass."""
        return ()

    def _require_scale(self) -> None:
        if self.measured:
            raise Refused(
                f"{self.name}: got no mean and deviation of {self.measured[0].name} yet; the study's first round"
                " measures them, and the model that it ends with holds them"
            )

    @property
    @abstractmethod
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """The data contract: smallest and largest value of each number column of `frame`."""

    @property
    def codes(self) -> Mapping[str, tuple[float, ...]]:
        """The data contract: the only values of a number column that holds categories."""
        return {}

    @property
    def categories(self) -> Mapping[str, tuple[str, ...]]:
        """The data contract: the only words of each column of `frame` that holds words."""
        return {}

    @property
    def optional(self) -> frozenset[str]:
        """The data contract: columns in which a cell may be empty, even all of them."""
        return frozenset()

    @abstractmethod
    def load(self, folders: Sequence[Path]) -> tuple[Records, Records]:
        """Training and test records; raises Misconfigured saying where it looked and how to get the data."""

    @abstractmethod
    def encode(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
        """Published values (n, ...) as inputs (n, *shape) int16 with 8 fractional bits."""

    @abstractmethod
    def torch(self) -> torch.nn.Module:
        """`encode` for a model that leaves: a batch of published values to the network's inputs, (n, *shape) float32.

        Raises Refused before constants are measured.
        """

    @property
    @abstractmethod
    def preparation(self) -> Mapping[str, Any]:
        """What `torch` takes and does, and what has to be done to a record before that, as JSON takes it."""

    @abstractmethod
    def write(self, folder: Path, train: Records, test: Records) -> None:
        """Lay out a hospital's records in `folder`, as its data manager keeps them."""

    @abstractmethod
    def frame(self, folder: Path) -> pd.DataFrame:
        """What the data contract is checked on: one row a record, its number in the file as index; raises FileRejected.

        Foreign exceptions pass, call it through `records.shielded`.
        """

    @abstractmethod
    def read(self, folder: Path, secret: SecretSource = Secret.generate) -> Split:
        """Encoded records of a folder that keeps the contract.

        Patients are hashed under `secret`, or under one that nobody keeps. Foreign exceptions pass, call it through
        `records.shielded`.
        """

    def keeping(self, home: Path) -> Dataset:
        """It, that has its own files in a hospital's private folder; here none.

        There lies what it would else make again in each step of a round.
        """
        return self

    def notes(self, folder: Path) -> Sequence[str]:
        """Sentences on how a folder of records is read, for its own hospital's eyes; foreign exceptions pass."""
        return ()

    @abstractmethod
    def questions(self, path: Path) -> PredictionBatch:
        """Records to predict, from a file of them; raises FileRejected, foreign exceptions pass."""

    def samples(self, records: Records) -> Samples:
        """Published records, encoded."""
        return Samples(self.encode(records.values), records.labels)

    def _split(self, frame: pd.DataFrame, values: npt.NDArray[Any], secret: SecretSource = Secret.generate) -> Split:
        samples = Samples(self.encode(values), self._labels(frame), hashed(frame, secret))
        train, test = (np.flatnonzero((frame["split"] == split).to_numpy()) for split in SPLITS)
        return Split(samples[train], samples[test])

    def _labels(self, frame: pd.DataFrame) -> npt.NDArray[np.int64]:
        return np.array([self.classes.index(label) for label in frame["label"]], dtype=np.int64)


def with_split(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """The table with a column `split`, by a hash of the patient, or of the column `key`, where it has none.

    A patient stays where they are when others come, but for the only one of a class in the test part, which holds one
    of each class that has two. Raises FileRejected where the table says no patient of a record, or divides one.
    """
    check(frame)
    if "split" in frame:
        return frame
    who = frame[PATIENT if PATIENT in frame else key].astype(str)
    digests = {one: hashlib.sha256(one.encode()).digest() for one in who.unique()}
    # Those for testing come first.
    ranks = {one: (digest[0] % TEST_EVERY, digest) for one, digest in digests.items()}
    tested = {one for one, (rest, _) in ranks.items() if rest == 0}
    for _, of_class in who.groupby(frame["label"]) if "label" in frame else ():
        if of_class.nunique() > 1:
            tested.add(min(of_class, key=ranks.__getitem__))
    return frame.assign(split=[SPLITS[1] if one in tested else SPLITS[0] for one in who])
