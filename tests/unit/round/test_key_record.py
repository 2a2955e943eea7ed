"""What a node signs before a round opens has what the study takes, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.domain import Kind, Statement
from pipeline.errors import EvidenceRejected
from pipeline.round.worker import KeyRecord
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study

FULL = Study.load(PROJECT / "studies" / "pneumonia.yaml")
LARGE = FULL.model_copy(update={"mode": "large"})
WITH_PANELS = FULL.model_copy(update={"rule": FULL.rule.model_copy(update={"panel": 3})})
KEY = {"public_key": "ab" * 32}
COMMITMENT = {"nonce_commitment": "cd" * 32}


def parsed(body: dict[str, Any], study: Study) -> KeyRecord:
    return KeyRecord.parse(Statement(Kind.SEALING_KEY, "north", body, ""), study)


def test_a_key_record_holds_a_commitment_to_a_nonce_exactly_where_a_seed_is_drawn() -> None:
    assert parsed(KEY, FULL).nonce_commitment is None
    for drawing in (LARGE, WITH_PANELS):
        assert parsed(KEY | COMMITMENT, drawing).nonce_commitment == "cd" * 32
    assert bytes(parsed(KEY, FULL).public_key).hex() == "ab" * 32


@pytest.mark.parametrize(
    ("body", "study"),
    [
        (KEY | COMMITMENT, FULL),
        (KEY, LARGE),
        (KEY, WITH_PANELS),
        (COMMITMENT, LARGE),
        ({}, FULL),
        (KEY | COMMITMENT | {"more": "ab" * 32}, LARGE),
        ({"public_key": "ab" * 31}, FULL),
        ({"public_key": None}, FULL),
        (KEY | {"nonce_commitment": 7}, LARGE),
    ],
)
def test_another_key_record_is_refused_under_its_nodes_name(body: dict[str, Any], study: Study) -> None:
    with pytest.raises(EvidenceRejected, match="north"):
        parsed(body, study)
