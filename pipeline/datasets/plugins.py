"""The table of data sets."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.datasets.base import Dataset


def datasets_among(folders: Iterable[str]) -> Iterator[Dataset]:
    """Every data set among the files of this package.

    In each file it is the class of the file's own name, if that class names a data set.
    """
    for file in sorted(module.name for module in pkgutil.iter_modules(folders)):
        for name, member in vars(importlib.import_module(f"{__package__}.{file}")).items():
            is_dataset = isinstance(member, type) and issubclass(member, Dataset) and "name" in vars(member)
            if is_dataset and name.lower() == file.replace("_", ""):
                yield member()


DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in datasets_among([str(Path(__file__).parent)])}
"""Name in a study file to data set."""
