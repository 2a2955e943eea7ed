"""What a hospital's people upload to have it predicted.

In memory where the machine can, readable by nobody else, and gone afterwards.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from starlette.datastructures import UploadFile

from pipeline.errors import FileRejected
from pipeline.mpc.engines.mp_spdz.workdir import MEMORY

PATH = "/hospital/predict/files"
"""The one path below the console's mount that takes files."""
MOST_BYTES = 32 << 20
"""Of a whole request there; the application refuses more before it reads them."""
MOST_FILES = 100

_STRANGE = re.compile(r"[^\w.() -]+", re.ASCII)
_LONGEST_NAME = 80
_TABLES = (".csv", ".parquet", ".json")


@contextmanager
def laid_out(files: Sequence[UploadFile], *, table: bool) -> Iterator[Path]:
    """A file, or a folder of several, for one command; raises FileRejected unless they are one table, or pictures."""
    if not files:
        raise FileRejected("got no file; choose one")
    if len(files) > MOST_FILES:
        raise FileRejected(f"got {len(files)} files, want at most {MOST_FILES} at once")
    if table and (len(files) > 1 or Path(files[0].filename or "").suffix.lower() not in _TABLES):
        got = f"{len(files)} files" if len(files) > 1 else "a file of another kind"
        raise FileRejected(f"got {got}, want one table: {', '.join(_TABLES)}")
    where = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="wardround-upload-", dir=where) as folder:  # mode 700
        paths = [
            _write(Path(folder), plain_name(file.filename, position), file)
            for position, file in enumerate(files, start=1)
        ]
        yield paths[0] if len(paths) == 1 else Path(folder)


def plain_name(given: str | None, position: int) -> str:
    """A file name without folders, tags and what a shell reads, still told by its owner."""
    last = (given or "").replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = _STRANGE.sub("_", last).strip(". ").rpartition(".")
    name = f"{stem[:_LONGEST_NAME]}{dot}{suffix[:8].lower()}"
    return name if stem else f"file-{position}"


def _write(folder: Path, name: str, file: UploadFile) -> Path:
    path = folder / name
    for position in range(2, MOST_FILES + 2):
        if not path.exists():
            break
        path = folder / f"{position}-{name}"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
        while chunk := file.file.read(1 << 20):
            written.write(chunk)
    return path
