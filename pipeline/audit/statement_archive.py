"""A round's statements in one object: what an audit of all rounds reads in place of some eighty small ones.

Nobody is trusted with it: a text counts only under a key that ends in its SHA-256, and only when the store lists that
key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import canonical_json, read_object, sha256

SUFFIX = "pack"
"""Of the object's key among a round's reports."""


def pack(objects: Iterable[tuple[str, bytes]]) -> bytes:
    """Canonical JSON of key to text; what is no text is left out."""
    texts = {}
    for key, data in objects:
        try:
            texts[key] = data.decode()
        except UnicodeDecodeError:
            continue
    return canonical_json(texts)


def unpack(data: bytes) -> Mapping[str, bytes]:
    """Key to bytes, for every entry whose key ends in the digest of its text."""
    try:
        entries = {key: text.encode() for key, text in read_object(data).items() if isinstance(text, str)}
    except EvidenceRejected:
        return {}
    return {key: value for key, value in entries.items() if key.rpartition("/")[2].partition(".")[0] == sha256(value)}
