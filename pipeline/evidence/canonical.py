"""Canonical bytes of JSON values, and their digests (RFC 8785 for the values that we allow: no floats)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.domain import Sha256


def sha256(data: bytes) -> Sha256:
    """SHA-256 of `data` in hexadecimal."""
    return Sha256(hashlib.sha256(data).hexdigest())


def canonical_json(value: Any) -> bytes:
    """Sorted, compact UTF-8 JSON; raises TypeError on floats, whose text differs between writers."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> Sha256:
    """SHA-256 of the canonical JSON of `value`."""
    return sha256(canonical_json(value))


def joint_digest(digests: Sequence[Sha256]) -> Sha256:
    """One digest for several in their order: SHA-256 of their bytes, one after another."""
    return sha256(b"".join(bytes.fromhex(value) for value in digests))


def _refuse_floats(value: Any) -> None:
    if value is None or isinstance(value, str | int):
        return
    if isinstance(value, float):
        raise TypeError(f"canonical JSON takes no float, got {value!r}; write a string or a scaled integer")
    if isinstance(value, Mapping):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:
            _refuse_floats(item)
