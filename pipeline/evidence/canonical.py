"""Canonical bytes of JSON values, their digests, and the one reader of others' JSON.

The canonical form is our own: keys sorted by code points, no white space, UTF-8 with no escapes but those that JSON
demands, integers of any size, no floats. A second writer of statements has to follow these rules, not RFC 8785, which
differs in integers and keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from pipeline.domain import Sha256
from pipeline.errors import EvidenceRejected

LARGEST_JSON = 64 << 20
"""Bytes of JSON that are read unless the reader knows better; a round's pack of a hundred hospitals is far smaller."""


def sha256(data: bytes) -> Sha256:
    """SHA-256 of `data` in hexadecimal."""
    return Sha256(hashlib.sha256(data).hexdigest())


def canonical_json(value: Any) -> bytes:
    """Sorted, compact UTF-8 JSON; raises TypeError on floats, whose text differs between writers."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def read_json(data: bytes, largest: int = LARGEST_JSON) -> Any:
    """The value of somebody else's JSON.

    Raises EvidenceRejected when it is none, over `largest` bytes or nested over 200 levels.
    """
    if len(data) > largest:
        raise EvidenceRejected(f"got {len(data)} bytes of JSON, want at most {largest}")
    try:
        # Not Python's own parser: it recurses as deep as the text says, and py_ecc, which web3 loads, lifts the
        # interpreter's limit so far that the machine's stack overflows first.
        return from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise EvidenceRejected(
            f"got {len(data)} bytes that are no JSON ({error}), want JSON nested at most 200 levels deep"
        ) from error


def read_object(data: bytes, largest: int = LARGEST_JSON) -> dict[str, Any]:
    """Like `read_json`, and raises EvidenceRejected on any value but an object."""
    value = read_json(data, largest)
    if not isinstance(value, dict):
        raise EvidenceRejected(f"got JSON {type(value).__name__}, want an object")
    return value


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
