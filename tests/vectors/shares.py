"""A payload split under a hospital's secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.domain import HospitalName
from pipeline.host.secret import Secret
from pipeline.mpc.engines.mp_spdz import shares
from pipeline.mpc.sharing import component_digest, held_by, share
from tests.vectors import actors
from tests.vectors.files import Given

ABOUT = (
    "given.payload are 64-bit words, given.secret the hospital's sharing secret, given.context what the shares are"
    " bound to; want.components are words that sum to the payload modulo 2^64, want.digests the SHA-256 of each"
    " component's little-endian words, want.held the components' indices by node. Where given.received stands, node 0"
    " takes these components instead, and they must be of the payload's length"
)

_PAYLOAD = ["0", "1", "-1", "65536", "9223372036854775807", "-9223372036854775808"]
_SECRET = "ab" * 32
REFUSED = {
    "bad_component_of_wrong_length": "component 1 of northgate is not 6 64-bit words",
    "bad_component_is_missing": "got components [1] of northgate, want all of 3 but 0",
    "bad_own_component": "got components [0, 1, 2] of northgate, want all of 3 but 0",
}


def given(kept: Mapping[str, Given]) -> dict[str, Given]:
    base = {"payload": _PAYLOAD, "nodes": 3, "secret": _SECRET, "context": actors.CONTEXT}
    whole = ["5"] * 6
    short = ["5"] * 5
    return {
        "three_nodes": base,
        "four_nodes": base | {"nodes": 4},
        "another_round": base | {"context": actors.CONTEXT | {"round": 8}},
        "another_secret": base | {"secret": "cd" * 32},
        "one_word": base | {"payload": ["42"]},
        "received_by_node_0": base | {"received": {"1": whole, "2": whole}},
        "bad_component_of_wrong_length": base | {"received": {"1": short, "2": whole}},
        "bad_component_is_missing": base | {"received": {"1": whole}},
        "bad_own_component": base | {"received": {"0": whole, "1": whole, "2": whole}},
    }


def answer(given: Given) -> dict[str, Any]:
    payload = _words(given["payload"])
    nodes = given["nodes"]
    if "received" in given:
        held = {int(index): _words(words) for index, words in given["received"].items()}
        name = HospitalName("northgate")
        (taken,) = shares.checked({name: held}, [name], nodes, 0, len(payload))
        return {"held": sorted(taken)}
    components = share(payload, nodes, Secret(bytes.fromhex(given["secret"])), actors.context(given["context"]))
    assert (sum(components[1:], components[0].copy()) == payload).all()
    return {
        "components": [[str(word) for word in component] for component in components],
        "digests": [component_digest(component) for component in components],
        "held": [list(held_by(node, nodes)) for node in range(nodes)],
    }


def _words(texts: list[str]) -> Any:
    return np.array([int(text) for text in texts], dtype=np.int64)
