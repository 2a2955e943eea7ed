"""A hospital's manifest: what its signed body may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.domain import NodeName
from pipeline.evidence.canonical import digest, sha256
from pipeline.mpc.manifest import Manifest
from pipeline.mpc.sharing import held_by
from tests.vectors.files import Given

ABOUT = (
    "given.body is what a hospital signs as a Manifest, given.nodes the study's nodes; want.sha256 the digest of the"
    " body's canonical bytes (the content of the statement), want.nodes what each node holds: the indices of its"
    " components, and its envelope"
)

_NODES = ["alder", "birch", "cedar"]
_BODY: dict[str, Any] = {
    "hospital": "northgate",
    "length": 3,
    "components": [sha256(f"component {index}".encode()) for index in range(3)],
    "envelopes": {node: {"sha256": sha256(node.encode()), "size": 208} for node in _NODES},
    "validation": sha256(b"validation"),
}
_BAD: dict[str, tuple[dict[str, Any], str]] = {
    "bad_another_field": ({"note": "hello"}, "manifest: note"),
    "bad_length_is_text": ({"length": "3"}, "manifest: length"),
    "bad_length_is_a_float": ({"length": 3.0}, "manifest: length"),
    "bad_a_component_is_missing": ({"components": _BODY["components"][:2]}, "got 2 components"),
    "bad_one_component_twice": ({"components": [_BODY["components"][0]] * 3}, "got one component twice"),
    "bad_upper_case_digest": (
        {"components": [text.upper() for text in _BODY["components"]]},
        "want 64 lower-case hexadecimal digits",
    ),
    "bad_an_envelope_is_missing": (
        {"envelopes": {node: _BODY["envelopes"][node] for node in _NODES[:2]}},
        "envelopes for alder, birch, want 3",
    ),
    "bad_an_envelope_for_a_stranger": (
        {"envelopes": {**_BODY["envelopes"], "elder": _BODY["envelopes"]["alder"]}},
        "envelopes for alder, birch, cedar, elder",
    ),
    "bad_tested_is_text": ({"tested": "120"}, "manifest: tested"),
    "bad_validation_is_no_digest": ({"validation": "passed"}, "validation digest: got 'passed'"),
}
REFUSED = {name: says for name, (_, says) in _BAD.items()}


def given(kept: Mapping[str, Given]) -> dict[str, Given]:
    good = {"three_nodes": _BODY, "with_counts_by_subgroup": _BODY | {"tested": 120}}
    bodies = good | {name: _BODY | change for name, (change, _) in _BAD.items()}
    return {name: {"body": body, "nodes": _NODES} for name, body in bodies.items()}


def answer(given: Given) -> dict[str, Any]:
    nodes = tuple(NodeName(node) for node in given["nodes"])
    manifest = Manifest.parse(given["body"], nodes)
    assert manifest.body() == given["body"]
    held = {
        node: {
            "components": list(held_by(index, len(nodes))),
            "sha256": manifest.envelopes[node].sha256,
            "size": manifest.envelopes[node].size,
        }
        for index, node in enumerate(nodes)
    }
    return {"sha256": digest(manifest.body()), "nodes": held}
