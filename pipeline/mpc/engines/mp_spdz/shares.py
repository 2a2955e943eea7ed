"""MP-SPDZ's own share file.

Replicated components go in without any communication, and outputs come out as raw words.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.domain import HospitalName
from pipeline.errors import EngineFailed
from pipeline.mpc.engines.base import Components

Words = npt.NDArray[np.int64]
Held = Mapping[int, Words]
"""Component index to words: every index but the node's own."""

RING_BITS = 64

_SIGNATURES = {3: b"replicated Z2^64", 4: b"Z2^64^3"}
"""Number of nodes to the name under which the engine knows such a share."""


def layout(nodes: int, index: int) -> tuple[int, ...]:
    """Component indices in the order in which node `index` stores them for one value."""
    # both protocols number a component by a node that lacks it: replicated-ring stores the one that its predecessor
    # lacks first, rep4-ring begins with its successor
    order = (2, 1) if nodes == 3 else (1, 2, 3)
    return tuple((index + offset) % nodes for offset in order)


def checked(
    components: Components, hospitals: Sequence[HospitalName], nodes: int, index: int, length: int
) -> list[Held]:
    """What party `index` holds of each hospital, `length` words or more.

    Raises EngineFailed naming hospital and component.
    """
    every = [components.get(hospital, {}) for hospital in hospitals]
    for hospital, held in zip(hospitals, every, strict=True):
        if set(held) != set(range(nodes)) - {index}:
            raise EngineFailed(
                f"mp-spdz: party {index}: got components {sorted(held)} of {hospital}, want all of {nodes} but {index}"
            )
        for k, words in held.items():
            if words.dtype != np.int64 or words.ndim != 1 or len(words) < length:
                raise EngineFailed(f"mp-spdz: party {index}: component {k} of {hospital} is not {length} 64-bit words")
    return every


def public(values: Sequence[int] | Words, nodes: int, index: int) -> Held:
    """Node `index`'s components of values that every node knows: the value itself, and zeros."""
    words = np.asarray(values, dtype=np.int64)
    return {k: words if k == 0 else np.zeros_like(words) for k in range(nodes) if k != index}


def encode(vectors: Sequence[Held], nodes: int, index: int) -> bytearray:
    """Contents of the share file with one vector after the other."""
    kind = _SIGNATURES[nodes]
    header = struct.pack("<Q", len(kind) + 4) + kind + struct.pack("<I", RING_BITS)
    indices = layout(nodes, index)
    # filled in place: a large model's components are hundreds of megabytes
    content = bytearray(len(header) + 8 * len(indices) * sum(len(vector[indices[0]]) for vector in vectors))
    content[: len(header)] = header
    rows = np.frombuffer(content, "<i8", offset=len(header)).reshape(-1, len(indices))
    start = 0
    for vector in vectors:
        end = start + len(vector[indices[0]])
        for column, k in enumerate(indices):
            rows[start:end, column] = vector[k]
        start = end
    return content


def decode_output(folder: Path, index: int, length: int) -> Words:
    """The `length` words that party `index`'s program wrote; raises EngineFailed for another number."""
    path = folder / f"Binary-Output-P{index}-0"
    words: Words = np.fromfile(path, dtype="<i8").astype(np.int64) if path.exists() else np.empty(0, dtype=np.int64)
    if len(words) != length:
        raise EngineFailed(
            f"mp-spdz: party {index}: its engine wrote {len(words)} of {length} output words: "
            "the working folder is full, or program and driver are of different versions"
        )
    return words
