"""Public data sets as their publishers keep them: where the files lie on this machine, and how they come here.

Only set-up fetches. What it fetches is held to the hashes below; files that a person names in WARDROUND_DATA are taken
as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.errors import EvidenceRejected, Misconfigured, Unavailable
from pipeline.host import transfer
from pipeline.host.files import locked, scratch

if TYPE_CHECKING:
    from rich.progress import Progress

_ALL_SECONDS = 120.0
"""How long one data set may take, the second try included."""


@dataclass(frozen=True)
class Published:
    """A data set at its publisher."""

    page: str
    """What people read about it."""
    address: str
    """A file's name is appended."""
    folder: str
    """Name of the folder that holds the files, in each folder of data sets."""
    files: Mapping[str, str]
    """Name to hash, as pooch takes it: `algorithm:digest`."""

    def lie_in(self, folder: Path) -> bool:
        """Whether all files are there, in their folder."""
        return all((folder / self.folder / file).is_file() for file in self.files)


PUBLISHED: Mapping[str, Published] = {
    "pneumonia": Published(
        page="https://zenodo.org/records/10519652",
        address="https://zenodo.org/records/10519652/files/",
        folder="pneumoniamnist",
        files={"pneumoniamnist.npz": "md5:28209eda62fecd6e6a2d98b1501bb15f"},
    ),
    "heart_disease": Published(
        page="https://archive.ics.uci.edu/dataset/45",
        address="https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease/",
        folder="heart-disease",
        files={
            "processed.cleveland.data": "sha256:a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8",
            "processed.hungarian.data": "sha256:d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796",
            "processed.switzerland.data": "sha256:834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314",
            "processed.va.data": "sha256:e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f",
        },
    ),
}
"""Name of a data set to its publisher's files."""


def is_here(dataset: str, folders: Sequence[Path]) -> bool:
    """Whether one of the folders holds all files of the data set."""
    return any(PUBLISHED[dataset].lie_in(folder) for folder in folders)


def find(dataset: str, folders: Sequence[Path]) -> Path:
    """The first folder that holds all files of the data set.

    Raises Misconfigured saying where it looked, and what to do.
    """
    published = PUBLISHED[dataset]
    for folder in folders:
        if published.lie_in(folder):
            return folder / published.folder
    looked_in = ", ".join(str(folder / published.folder) for folder in folders) or "no folder"
    raise Misconfigured(
        f"{dataset}: got no {', '.join(published.files)} in {looked_in}; "
        f"`wardround up` fetches what it can from {published.page}, or put the files into a folder {published.folder} "
        "and name the folder that holds it in WARDROUND_DATA"
    )


def fetch(datasets: Iterable[str], folder: Path, progress: Progress) -> None:
    """Put the files of these data sets into `folder`, of each all or none.

    Raises Unavailable naming what did not come.
    """
    wanted = [PUBLISHED[dataset] for dataset in datasets]
    with ThreadPoolExecutor(max_workers=len(wanted) or 1) as threads:
        troubles = [
            trouble
            for trouble in threads.map(lambda published: _fetched(published, folder, progress), wanted)
            if trouble
        ]
    if troubles:
        raise Unavailable(
            f"could not fetch {' and '.join(troubles)}; run `wardround up` again when that is mended, "
            "or name a folder that holds the files in WARDROUND_DATA"
        )


def _fetched(published: Published, folder: Path, progress: Progress) -> str | None:
    """Fetch one data set; what did not come and why, None when all of it is there."""
    try:
        with locked(folder / f".{published.folder}.lock"):
            if published.lie_in(folder):  # another command was quicker
                return None
            with scratch(folder, "fetching") as aside:
                transfer.fetch(published.address, published.files, aside, _ALL_SECONDS, progress)
                # Together, once each has its hash.
                (folder / published.folder).mkdir(exist_ok=True)
                for file in published.files:
                    (aside / file).replace(folder / published.folder / file)
    except (Unavailable, EvidenceRejected) as error:
        return str(error)
    except OSError as error:
        return f"{next(iter(published.files))} from {urlsplit(published.address).hostname} ({folder}: {error.strerror})"
    return None
