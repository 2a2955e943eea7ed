"""SPU's shares made and read by hand.

The hospitals' components are ABY3's pairs already, so dealing needs no message.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime import libspu

_REPLICATED = "aby3.AShr<FM64>"
_PUBLIC = "Pub2k<FM64>"
_LARGEST_CHUNK = 64 << 20


def replicated(pairs: bytes, shape: Sequence[int]) -> libspu.Share:
    """One party's share of an int64 array: party i of 3 holds (s_i, s_i+1), words of `pairs` by turns."""
    return _share(pairs, shape, libspu.Visibility.VIS_SECRET, _REPLICATED)


def public(values: bytes, shape: Sequence[int]) -> libspu.Share:
    """An int64 array that every party knows."""
    return _share(values, shape, libspu.Visibility.VIS_PUBLIC, _PUBLIC)


def opened(share: libspu.Share) -> list[int]:
    """The int64 values that the program revealed; raises ValueError for anything still secret."""
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
    return memoryview(content).cast("q").tolist()


def _share(content: bytes, shape: Sequence[int], visibility: libspu.Visibility, storage: str) -> libspu.Share:
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
