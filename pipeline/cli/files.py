"""Files that people name on the command line: read up to a size, written whole, or refused in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from pipeline.errors import EvidenceRejected, Misconfigured
from pipeline.evidence.canonical import LARGEST_JSON
from pipeline.governance.majority import OwnerFile
from pipeline.host.files import write_atomic

_Form = TypeVar("_Form", bound=OwnerFile)

Out = Annotated[Path, typer.Option("--out", "-o", help="File to write.")]
Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="Files of a majority.")
]


def read_form(form: type[_Form], path: Path) -> _Form:
    """What another owner handed on in `path`; raises EvidenceRejected naming file and field."""
    try:
        return form.read(read_file(path, LARGEST_JSON))
    except EvidenceRejected as error:
        raise EvidenceRejected(f"{path}: {error}") from error


def read_file(path: Path, largest: int) -> bytes:
    """The bytes of `path`; raises Misconfigured when it cannot be read or holds more than `largest`."""
    try:
        with path.open("rb") as file:  # a device or a pipe has no size to ask for
            data = file.read(largest + 1)
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be read: {error.strerror}; name another file") from error
    if len(data) > largest:
        raise Misconfigured(f"{path}: got more than {largest} bytes, want at most that")
    return data


def write_file(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all; raises Misconfigured when that cannot be."""
    try:
        write_atomic(path, data)
    except OSError as error:
        raise Misconfigured(
            f"{path}: cannot be written: {error.strerror}; name a file in a folder that this user may write"
        ) from error
