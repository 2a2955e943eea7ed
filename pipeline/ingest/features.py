"""A backbone's features of a hospital's pictures: made and kept before each round, compared where it is replayed."""

from __future__ import annotations

from pathlib import Path

from pipeline.datasets import Dataset
from pipeline.datasets.features import Features, KeptFeatures
from pipeline.datasets.records import records_folder, shielded
from pipeline.errors import DataRejected


def keep_features(home: Path, dataset: Dataset) -> KeptFeatures | None:
    """Make what features are lacking of a hospital's records; None where the study has no backbone.

    Raises DataRejected where a picture cannot be read, or the backbone makes no finite numbers of one.
    """
    if not isinstance(dataset, Features):
        return None
    folder = records_folder(home, dataset.name)
    return shielded(home.name, "records are readable", lambda: dataset.keeping(home).keep(folder))


def compare_features(home: Path, dataset: Dataset) -> None:
    """Raise DataRejected where kept features are lacking, or further than a step from those made on this machine."""
    if not isinstance(dataset, Features):
        return
    folder = records_folder(home, dataset.name)
    compared = shielded(home.name, "features can be compared", lambda: dataset.keeping(home).compared(folder))
    if compared.lacking:
        raise DataRejected(
            home.name,
            (f"features are kept of all pictures: {compared.lacking} lack; `dvc checkout` the version of the records",),
        )
    if compared.strayed:
        raise DataRejected(
            home.name, (f"features are the backbone's to a step of 2^-8: those of {compared.strayed} pictures are not",)
        )
