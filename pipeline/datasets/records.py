"""A hospital's records on its own disk, behind a border that no record's value crosses in an exception."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline.datasets.base import Dataset, Split
from pipeline.datasets.measured import Counted
from pipeline.errors import DataRejected, FileRejected, WardroundError
from pipeline.site.identity import sharing_secret

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


def records_folder(home: Path, dataset: str) -> Path:
    """Where a hospital keeps its records of one data set: a folder that its DVC repository, `data/`, tracks."""
    return home / "data" / "records" / dataset


def kept(home: Path, dataset: str) -> bool:
    """Whether a hospital keeps any records of one data set; what they are worth is for its data contract to say."""
    folder = records_folder(home, dataset)
    return folder.is_dir() and any(folder.iterdir())


def frame(home: Path, dataset: Dataset) -> pd.DataFrame:
    """What the data contract is checked on, of a hospital's records; raises as `read` does."""
    folder = records_folder(home, dataset.name)
    kept = dataset.keeping(home)
    return shielded(home.name, "records are readable", lambda: kept.frame(folder))


def read(home: Path, dataset: Dataset) -> Split:
    """A hospital's encoded records; raises DataRejected, without any value, when they cannot be read."""
    folder = records_folder(home, dataset.name)
    kept = dataset.keeping(home)
    return shielded(home.name, "records are readable", lambda: kept.read(folder, lambda: sharing_secret(home)))


def statistics(home: Path, dataset: Dataset) -> Sequence[Counted]:
    """Of each input that is to be measured the values of a hospital's training records; raises as `read` does."""
    folder = records_folder(home, dataset.name)
    kept = dataset.keeping(home)
    return shielded(home.name, "records are readable", lambda: kept.statistics(folder))


def readable(what: str, action: Callable[[], T]) -> T:
    """Run `action` on records to predict.

    Raises FileRejected, naming the class of a foreign exception and nothing else of it.
    """
    try:
        return action()
    except WardroundError:
        raise
    except Exception as error:
        failure = type(error).__name__
    raise FileRejected(f"{what}: got records that cannot be read ({failure}); want them as the hospital keeps its own")


def shielded(hospital: str, expectation: str, action: Callable[[], T]) -> T:
    """Run `action`, and let no record's value out of it.

    Raises DataRejected naming the expectation and the class of a foreign exception, and nothing else of it.
    """
    try:
        return action()
    except FileRejected as error:
        failure = f": {error}"
    except WardroundError:
        raise
    except Exception as error:
        failure = f" ({type(error).__name__})"
    # Raised outside the handler: neither __cause__ nor __context__ may carry the foreign text, which can quote a
    # record.
    raise DataRejected(hospital, (f"{expectation}{failure}",))
