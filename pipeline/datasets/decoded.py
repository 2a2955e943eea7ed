"""Pictures that were decoded before, kept in their hospital's own folder: a round's steps decode each file once.

Each is found by the SHA-256 of its file, so that what is kept is what decoding gives again. Settings of the study, our
readers and their libraries are in the key of all: where one changes, all are decoded anew. No name, label or element of
a patient is kept, and nothing of a file that is no longer listed.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from pipeline.datasets import dicom_files, gdcm_process, picture, picture_files, raster_files
from pipeline.datasets.picture import FittedPicture
from pipeline.host.files import locked, write_secret

DECODED = "decoded"
"""In a hospital's private folder: pictures as they were decoded."""

_READERS = (dicom_files, gdcm_process, picture, picture_files, raster_files)
_LIBRARIES = ("numpy", "pillow", "pydicom", "python-gdcm")

Decode = Callable[[Path], FittedPicture]


class DecodedPictures:
    """One data set's pictures under one study's settings, in one file."""

    def __init__(self, file: Path, settings: object) -> None:
        self._file = file
        self._key = hashlib.sha256(f"{_readers()} {settings!r}".encode()).digest()
        self._known = self._read()
        self._used: dict[bytes, FittedPicture] = {}

    def picture(self, path: Path, decode: Decode) -> FittedPicture:
        """What `decode` says of a file, or said of its bytes before; raises as `decode` does."""
        digest = _digest(path)
        if (one := self._known.get(digest)) is None:
            one = decode(path)
            if _digest(path) != digest:  # written while it was read: not kept
                return one
        self._used[digest] = one
        return one

    def keep(self) -> None:
        """Keep what was asked for, and nothing else."""
        if self._used.keys() == self._known.keys():
            return
        pictures = [*self._used.values()]
        names = sorted(pictures[0].measures) if pictures else []
        buffer = io.BytesIO()
        np.savez(
            buffer,
            key=np.frombuffer(self._key, np.uint8),
            files=_bytes([*self._used]),
            pixels=np.array([one.pixels for one in pictures], np.uint8),
            names=np.array(names, np.str_),
            measures=np.array([[one.measures[name] for name in names] for one in pictures], np.float64),
            digests=_bytes([one.digest for one in pictures]),
        )
        with locked(self._file.parent / ".lock"):
            for left in self._file.parent.glob(f".{self._file.name}.*"):
                left.unlink(missing_ok=True)  # of a step that was killed while it wrote
            write_secret(self._file, buffer.getvalue())

    def _read(self) -> Mapping[bytes, FittedPicture]:
        try:
            with np.load(self._file, allow_pickle=False) as kept:
                if kept["key"].tobytes() != self._key:
                    return {}
                names = kept["names"].tolist()
                rows = zip(kept["files"], kept["pixels"], kept["measures"], kept["digests"], strict=True)
                return {
                    file.tobytes(): FittedPicture(
                        pixels, dict(zip(names, measures.tolist(), strict=True)), of.tobytes()
                    )
                    for file, pixels, measures, of in rows
                }
        except (OSError, BadZipFile, KeyError, ValueError, EOFError):
            return {}


def _bytes(digests: list[bytes]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), hashlib.sha256().digest_size)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@cache
def _readers() -> str:
    """A digest of what reads pictures."""
    code = [Path(str(module.__file__)).read_bytes() for module in _READERS]
    versions = [f"{name} {version(name)}".encode() for name in _LIBRARIES]
    return hashlib.sha256(b"\0".join([*code, *versions])).hexdigest()
