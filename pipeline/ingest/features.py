"""A backbone's features of a hospital's pictures: made and kept before each round, compared where it is replayed."""

from __future__ import annotations

from pathlib import Path

from pipeline.datasets import Dataset
from pipeline.datasets.features import Features
from pipeline.datasets.records import records_folder, shielded
from pipeline.errors import DataRejected


def keep_features(home: Path, dataset: Dataset) -> None:
    """Make what features are lacking of a hospital's records; nothing where the study has no backbone.

    Raises DataRejected where a picture cannot be read.
    """
    if isinstance(dataset, Features):
        folder = records_folder(home, dataset.name)
        shielded(home.name, "records are readable", lambda: dataset.keeping(home).keep(folder))


def compare_features(home: Path, dataset: Dataset) -> None:
    """Raise DataRejected where kept features are further than a step from those that are made on this machine."""
    if not isinstance(dataset, Features):
        return
    folder = records_folder(home, dataset.name)
    strayed = shielded(home.name, "features can be compared", lambda: dataset.keeping(home).strayed(folder))
    if strayed:
        raise DataRejected(
            home.name, (f"features are the backbone's to a step of 2^-8: those of {strayed} pictures are not",)
        )
