"""Where another clone lies.

Its packages are hard links, and 5 GB of copies on another file system than the checkout's.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.site.settings import PROJECT


@contextmanager
def roomy_folder(usual: Path | None = None) -> Iterator[Path]:
    """A folder until the end of the block.

    In `usual`, by default where temporary files lie, if links reach it, else in the checkout.

    Not pytest's own folder: its name is too long for the process manager's socket, and it keeps what the last runs
    left.
    """
    usual = usual or Path(tempfile.gettempdir())
    own = PROJECT / "build"
    own.mkdir(exist_ok=True)
    place = usual if _takes_links(usual) else own
    with tempfile.TemporaryDirectory(prefix="wardround-", dir=place) as folder:
        yield Path(folder)


def _takes_links(place: Path) -> bool:
    with tempfile.TemporaryDirectory(prefix="wardround-", dir=place) as folder:
        try:
            os.link(PROJECT / "LICENSE", Path(folder) / "link")
        except OSError:
            return False
    return True
