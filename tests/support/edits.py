"""Files that are others for a while."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml


@contextmanager
def rewritten(path: Path, change: Callable[[bytes], bytes]) -> Iterator[None]:
    """A file with other content for a while."""
    kept = path.read_bytes()
    path.write_bytes(change(kept))
    try:
        yield
    finally:
        path.write_bytes(kept)


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    """The change of a JSON or YAML file's content, as canonical JSON, which is both."""

    def edit(data: bytes) -> bytes:
        content = yaml.safe_load(data)
        change(content)
        return json.dumps(content, sort_keys=True).encode()

    return edit
