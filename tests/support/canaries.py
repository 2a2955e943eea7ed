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


def versions(site: Installed, below: str = "") -> Iterator[tuple[str, bytes]]:
    """Every version of every object that rounds leave in the store, or of those with this beginning, by bucket and key.

    Read without asking whether its bytes are those that its key names: another test's operator may have altered one.
    """
    store = site.store()
    for bucket in (object_keys.MAILBOX, object_keys.MODELS, object_keys.REPORTS):
        for info in store.history(bucket, below):
            if not info.deleted:
                answer = store._client.get_object(Bucket=bucket, Key=info.key, VersionId=info.version_id)
                yield f"{bucket}/{info.key}", answer["Body"].read()


def stored(site: Installed, below: str = "") -> list[bytes]:
    """The bytes of these versions."""
    return [data for _, data in versions(site, below)]


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
