"""Files from elsewhere: held to a known hash, whole or not there, and with an end to the waiting."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.errors import EvidenceRejected, Unavailable

if TYPE_CHECKING:
    from rich.progress import Progress

CONNECT_SECONDS = 5.0
SILENT_SECONDS = 10.0
"""How long a server may keep silent once it was reached."""
_RETRIES = 1


class _Broken(ValueError):
    """A transfer that failed: of our errors pooch tries none again but a ValueError."""


@dataclass(frozen=True)
class _Transfer:
    """Downloads one file for pooch, whose own downloaders know no limit on the whole time."""

    seconds: float
    """For all files and tries."""
    ends: float
    """By the monotonic clock."""
    progress: Progress

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        import httpx

        task = self.progress.add_task(url.rpartition("/")[2], total=None)
        limits = httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS)
        try:
            with (
                httpx.stream("GET", url, timeout=limits, follow_redirects=True) as answer,
                open(output_file, "wb") as file,
            ):
                answer.raise_for_status()
                self.progress.update(task, total=int(answer.headers.get("content-length", 0)) or None)
                for piece in answer.iter_bytes():
                    if time.monotonic() > self.ends:
                        raise Unavailable(f"not whole after {self.seconds:.0f} s")
                    file.write(piece)
                    self.progress.advance(task, len(piece))
        except httpx.HTTPStatusError as error:
            raise _Broken(f"status {error.response.status_code}") from error
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            ValueError,
        ) as error:  # the last two of a proxy that httpx cannot use
            raise _Broken(str(error) or type(error).__name__) from error
        finally:
            self.progress.remove_task(task)


def fetch(address: str, files: Mapping[str, str], folder: Path, seconds: float, progress: Progress) -> None:
    """Put `files` (name to `algorithm:digest`) below `address` into `folder`, one retry each, all within `seconds`.

    Raises Unavailable, and EvidenceRejected when a file is another than its hash says, with the file's name, its host
    and the cause.
    """
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    transfer = _Transfer(seconds, time.monotonic() + seconds, progress)
    host = urlsplit(address).hostname
    objects = pooch.create(folder, address, registry=dict(files), retry_if_failed=_RETRIES)
    for file in files:
        try:
            objects.fetch(file, downloader=transfer)
        except (_Broken, Unavailable) as error:
            raise Unavailable(f"{file} from {host} ({error})") from error
        except ValueError as error:
            raise EvidenceRejected(
                f"{file} from {host} (got other bytes than those with the published hash)"
            ) from error
        except OSError as error:
            raise Unavailable(f"{file} from {host} ({folder}: {error.strerror})") from error
