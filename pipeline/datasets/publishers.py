"""Public data sets as their publishers keep them: where the files lie on this machine, and how they come here.

Only set-up fetches. What it fetches is held to the hashes below; files that a person names in WARDROUND_DATA are taken as they are.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.errors import Misconfigured, Unavailable
from pipeline.files import locked

if TYPE_CHECKING:
    from rich.progress import Progress

_CONNECT_SECONDS = 5.0
_SILENT_SECONDS = 10.0
"""How long a publisher may keep silent once it was reached."""
_ALL_SECONDS = 120.0
"""How long one data set may take, the second try included."""
_RETRIES = 1


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
    """The first folder that holds all files of the data set; raises Misconfigured saying where it looked, and what to do."""
    published = PUBLISHED[dataset]
    for folder in folders:
        if published.lie_in(folder):
            return folder / published.folder
    places = ", ".join(str(folder / published.folder) for folder in folders) or "no folder"
    raise Misconfigured(
        f"{dataset}: got no {', '.join(published.files)} in {places}; "
        f"`wardround up` fetches what it can from {published.page}, or put the files into a folder {published.folder} "
        "and name the folder that holds it in WARDROUND_DATA"
    )


def fetch(datasets: Iterable[str], folder: Path, progress: Progress) -> None:
    """Put the files of these data sets into `folder`, of each all or none; raises Unavailable naming what did not come."""
    wanted = [PUBLISHED[dataset] for dataset in datasets]
    with ThreadPoolExecutor(max_workers=len(wanted) or 1) as threads:
        troubles = [trouble for trouble in threads.map(lambda each: _fetched(each, folder, progress), wanted) if trouble]
    if troubles:
        raise Unavailable(
            f"could not fetch {' and '.join(troubles)}; run `wardround up` again when that is mended, "
            "or name a folder that holds the files in WARDROUND_DATA"
        )


class _Broken(ValueError):
    """A transfer that failed: of our errors pooch tries none again but a ValueError."""


@dataclass(frozen=True)
class _Transfer:
    """Downloads one file for pooch, whose own downloaders know no limit on the whole time."""

    ends: float
    """By the monotonic clock."""
    progress: Progress

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        import httpx

        task = self.progress.add_task(url.rpartition("/")[2], total=None)
        limits = httpx.Timeout(_SILENT_SECONDS, connect=_CONNECT_SECONDS)
        try:
            with httpx.stream("GET", url, timeout=limits, follow_redirects=True) as answer, open(output_file, "wb") as file:
                answer.raise_for_status()
                self.progress.update(task, total=int(answer.headers.get("content-length", 0)) or None)
                for piece in answer.iter_bytes():
                    if time.monotonic() > self.ends:
                        raise Unavailable(f"not whole after {_ALL_SECONDS:.0f} s")
                    file.write(piece)
                    self.progress.advance(task, len(piece))
        except httpx.HTTPStatusError as error:
            raise _Broken(f"status {error.response.status_code}") from error
        except httpx.HTTPError as error:
            raise _Broken(str(error) or type(error).__name__) from error
        finally:
            self.progress.remove_task(task)


def _fetched(published: Published, folder: Path, progress: Progress) -> str | None:
    """Fetch one data set; what did not come and why, None when all of it is there."""
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    transfer = _Transfer(time.monotonic() + _ALL_SECONDS, progress)
    file, host = next(iter(published.files)), urlsplit(published.address).hostname
    try:
        with locked(folder / f".{published.folder}.lock"):
            if published.lie_in(folder):  # another command was quicker
                return None
            with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as scratch:
                registry = dict(published.files)
                shelf = pooch.create(scratch, published.address, registry=registry, retry_if_failed=_RETRIES)
                for file in published.files:
                    shelf.fetch(file, downloader=transfer)
                # Together, once each has its hash.
                (folder / published.folder).mkdir(exist_ok=True)
                for file in published.files:
                    Path(scratch, file).replace(folder / published.folder / file)
    except (_Broken, Unavailable) as error:
        return f"{file} from {host} ({error})"
    except ValueError:
        return f"{file} from {host} (got other bytes than those with the published hash)"
    except OSError as error:
        return f"{file} from {host} ({folder}: {error.strerror})"
    return None
