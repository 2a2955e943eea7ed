"""Sealed envelopes, and what they open to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from nacl.public import PrivateKey

from pipeline.domain import HospitalName, NodeName
from pipeline.mpc.envelope import Envelope
from tests.vectors import actors
from tests.vectors.files import Given

ABOUT = (
    "given.sealed was sealed once for given.private_key (X25519), with what the other fields say; want.components has"
    " by index the 64-bit words that it opens to, want.size its bytes. Sealing anew gives other bytes that open to the"
    " same"
)

_MEANT: dict[str, Any] = {
    "private_key": "6b" * 32,
    "context": actors.CONTEXT,
    "hospital": "northgate",
    "node": "alder",
    "indices": [1, 2],
    "length": 3,
}
_PARTS = {1: ["1", "-1", "9223372036854775807"], 2: ["5", "6", "-9223372036854775808"]}
_BOX = 48 + 32 + 3 * 8

_CHANGED: dict[str, dict[str, Any]] = {
    "bad_other_key": {"private_key": "6c" * 32},
    "bad_other_round": {"context": actors.CONTEXT | {"round": 8}},
    "bad_other_study": {"context": actors.CONTEXT | {"study_digest": "12" * 32}},
    "bad_other_chain": {"context": actors.CONTEXT | {"chain_id": 1}},
    "bad_other_model": {"context": actors.CONTEXT | {"previous_model": "23" * 32}},
    "bad_copied_by_another_hospital": {"hospital": "eastfield"},
    "bad_for_another_node": {"node": "birch"},
    "bad_other_components": {"indices": [0, 2]},
    "bad_component_of_wrong_length": {"length": 4},
}
_DAMAGED = {
    "bad_truncated": lambda sealed: sealed[:-1],
    "bad_lengthened": lambda sealed: sealed + b"\0",
    "bad_empty": lambda sealed: b"",
    "bad_one_bit": lambda sealed: sealed[:60] + bytes([sealed[60] ^ 1]) + sealed[61:],
    "bad_boxes_swapped": lambda sealed: sealed[_BOX:] + sealed[:_BOX],
    "bad_one_box_twice": lambda sealed: sealed[:_BOX] * 2,
}
_SIZE = "got an envelope of"
_KEY = "this round's key does not open"
_BOUND = "bound to another hospital"
REFUSED = (
    dict.fromkeys(_CHANGED, _BOUND)
    | {"bad_other_key": _KEY, "bad_component_of_wrong_length": _SIZE}
    | dict.fromkeys(_DAMAGED, _BOUND)
    | {"bad_truncated": _SIZE, "bad_lengthened": _SIZE, "bad_empty": _SIZE, "bad_one_bit": _KEY}
)


def given(kept: Mapping[str, Given]) -> dict[str, Given]:
    whole = kept.get("two_components") or _MEANT | {"sealed": _seal().hex()}
    sealed = bytes.fromhex(whole["sealed"])
    return (
        {"two_components": whole}
        | {name: whole | change for name, change in _CHANGED.items()}
        | {name: whole | {"sealed": damage(sealed).hex()} for name, damage in _DAMAGED.items()}
    )


def answer(given: Given) -> dict[str, Any]:
    opened = _envelope(given).unseal(bytes.fromhex(given["sealed"]), _key(given))
    components = {str(index): [str(word) for word in words] for index, words in opened.items()}
    return {"size": _envelope(given).size, "components": components}


def _seal() -> bytes:
    parts = {index: np.array([int(word) for word in words], dtype=np.int64) for index, words in _PARTS.items()}
    return _envelope(_MEANT).seal(parts, _key(_MEANT).public_key)


def _envelope(given: Given) -> Envelope:
    hospital = HospitalName(given["hospital"])
    node = NodeName(given["node"])
    return Envelope(actors.context(given["context"]), hospital, node, tuple(given["indices"]), given["length"])


def _key(given: Given) -> PrivateKey:
    return PrivateKey(bytes.fromhex(given["private_key"]))
