"""Archives from elsewhere.

Nothing lands outside the folder, nothing but files, folders and links within, and not without end.
"""

from __future__ import annotations

import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.errors import Rejected

_MOST_MEMBERS = 200_000


class _Bounded:
    """Gives what `source` gives, up to `most` bytes."""

    def __init__(self, source: IO[bytes], most: int) -> None:
        self._source = source
        self._most = most
        self._left = most

    def read(self, size: int = -1) -> bytes:
        """The next bytes; raises Rejected beyond the bound."""
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise Rejected(f"the archive: got more than {self._most} bytes unpacked; it is none of the known releases")
        return data


def unpack(archive: IO[bytes], folder: Path, keep: Callable[[PurePosixPath], bool], most: int) -> Path:
    """Unpack a .tar.xz into a new `folder`; returns the archive's one top folder in it.

    Only what `keep` says of its path within that top folder. Raises Rejected for an archive that is damaged, hostile,
    larger than `most` bytes or without one top folder.
    """
    folder.mkdir()
    tops: set[str] = set()
    try:
        with lzma.open(archive) as packed:
            plain = _Bounded(packed, most)
            with tarfile.open(fileobj=plain, mode="r|") as tar:  # type: ignore[call-overload]
                for count, member in enumerate(tar):
                    # Also of what is not kept: an archive with one bad member is not to be trusted with the others.
                    safe = tarfile.data_filter(member, str(folder))
                    top, *rest = PurePosixPath(safe.name).parts or ("",)
                    tops.add(top)
                    if count >= _MOST_MEMBERS or len(tops) > 1:
                        raise Rejected("the archive: got more files or folders than a release has, want one folder")
                    if rest and keep(PurePosixPath(*rest)):
                        tar.extract(member, folder, filter="data")
            while plain.read(1 << 20):  # up to the check sum, which ends it
                pass
    except (tarfile.TarError, lzma.LZMAError, EOFError, KeyError) as error:
        raise Rejected(
            f"the archive: {str(error) or type(error).__name__}; it is damaged, or not what it says"
        ) from error
    folders = [folder / top for top in tops if (folder / top).is_dir()]
    if not folders:
        raise Rejected("the archive: got nothing that a release has, want one folder")
    return folders[0]
