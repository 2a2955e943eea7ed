from typing import Any

import pytest

from pipeline.domain import NodeName
from pipeline.errors import EvidenceRejected
from pipeline.mpc.manifest import Manifest

NODES = (NodeName("north"), NodeName("east"), NodeName("west"))


def body(**other: Any) -> dict[str, Any]:
    sealed = {"sha256": "d" * 64, "size": 100}
    return {
        "hospital": "elm",
        "length": 10,
        "components": ["a" * 64, "b" * 64, "c" * 64],
        "envelopes": dict.fromkeys(NODES, sealed),
        "validation": "e" * 64,
    } | other


def test_a_body_survives_the_round_trip() -> None:
    assert Manifest.parse(body(), NODES).body() == body()


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": "10"},
        {"length": 10.5},
        {"components": ["a" * 64, "b" * 64]},
        {"components": ["a" * 64, "a" * 64, "b" * 64]},
        {"components": ["A" * 64, "b" * 64, "c" * 64]},
        {"envelopes": {"north": {"sha256": "d" * 64, "size": 1}}},
        {"envelopes": {"north": "x", "east": "y", "west": "z"}},
        {"envelopes": {node: {"sha256": "d" * 63, "size": 1} for node in NODES}},
        {"validation": None},
        {"extra": 1},
    ],
    ids=[
        "text length",
        "broken length",
        "a component short",
        "a component twice",
        "upper case",
        "a node short",
        "no object",
        "short digest",
        "no validation",
        "extra field",
    ],
)
def test_a_malformed_body_is_refused_with_our_own_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(EvidenceRejected):
        Manifest.parse(body(**wrong), NODES)
