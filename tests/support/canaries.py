"""Where a planted word is looked for after a round: among all that the store ever held, and all files of everybody."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.store import object_keys
from tests.support.installed import Installed

if TYPE_CHECKING:
    from tests.support.site import Site


def stored(site: Installed, below: str = "") -> list[bytes]:
    """Every version of every object that rounds leave in the store, or of those with this beginning."""
    store = site.store()
    return [
        store.get(bucket, info.key, info.key.rpartition("/")[2].partition(".")[0], version_id=info.version_id)
        for bucket in (object_keys.MAILBOX, object_keys.MODELS, object_keys.REPORTS)
        for info in store.history(bucket, below)
    ]


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder and its bytes; services may run in it, so what vanishes meanwhile is left out."""
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            with suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink():
                    yield path, path.read_bytes()


def files_with(site: Installed | Site, needle: str) -> list[Path]:
    """The files of the installation that hold the word."""
    return [path for path, data in contents(site.settings.home) if needle.encode() in data]
