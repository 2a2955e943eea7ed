"""SPU's shares made and read by hand.

The hospitals' components are ABY3's pairs already, so dealing needs no message.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from runtime import libspu

_REPLICATED = "aby3.AShr<FM64>"
_PUBLIC = "Pub2k<FM64>"
_LARGEST_CHUNK = 64 << 20


def replicated(pairs: npt.NDArray[np.uint64], shape: tuple[int, ...]) -> libspu.Share:
    """One party's share of an int64 array: party i of 3 holds (s_i, s_i+1), interleaved in `pairs` (count, 2)."""
    return _share(pairs.tobytes(), shape, libspu.Visibility.VIS_SECRET, _REPLICATED)


def public(values: npt.NDArray[np.int64]) -> libspu.Share:
    """A value that every party knows."""
    return _share(values.tobytes(), values.shape, libspu.Visibility.VIS_PUBLIC, _PUBLIC)


def opened(share: libspu.Share) -> npt.NDArray[np.int64]:
    """The values that the program revealed; raises ValueError for anything still secret."""
    meta = libspu.ValueMeta()
    meta.ParseFromString(share.meta)
    if meta.storage_type != _PUBLIC:
        raise ValueError(
            f"got an output stored as {meta.storage_type}, want {_PUBLIC}: the program must reveal its outputs"
        )
    content = b""
    for piece in share.share_chunks:
        chunk = libspu.ValueChunk()
        chunk.ParseFromString(piece)
        content += chunk.content
    return np.frombuffer(content, np.int64)


def _share(content: bytes, shape: tuple[int, ...], visibility: libspu.Visibility, storage: str) -> libspu.Share:
    meta = libspu.ValueMeta()
    meta.data_type = libspu.DataType.DT_I64
    meta.is_complex = False
    meta.visibility = visibility
    meta.shape = list(shape)
    meta.storage_type = storage
    share = libspu.Share()
    share.meta = meta.SerializeToString()
    share.share_chunks = [_chunk(content, start) for start in range(0, len(content), _LARGEST_CHUNK)]
    return share


def _chunk(content: bytes, start: int) -> bytes:
    chunk = libspu.ValueChunk()
    chunk.total_bytes = len(content)
    chunk.chunk_offset = start
    chunk.content = content[start : start + _LARGEST_CHUNK]
    serialised: bytes = chunk.SerializeToString()
    return serialised
