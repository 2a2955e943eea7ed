"""What the store's readers are asked for, and where they stop."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.domain import Kind, NodeName, RoundId
from pipeline.errors import Crowded, ObjectMissing
from pipeline.evidence.canonical import sha256
from pipeline.store import object_keys
from pipeline.store.bulletin_board import BulletinBoard
from tests.support.finished_rounds import DictStore

ALDER = NodeName("alder")
ROUND = RoundId(7)
PLACE = object_keys.statement(ROUND, Kind.VOTE, ALDER)


def board(files: int) -> tuple[Any, list[str]]:
    """A node's place with so many files of no meaning; what is read of it."""
    store = DictStore()
    read = list[str]()
    for number in range(files):
        data = b"junk %d" % number
        store.put(PLACE.bucket, PLACE.key(sha256(data)), data)
    store.get = lambda bucket, key, *rest, **more: read.append(key) or b"{}"  # type: ignore[assignment, func-returns-value]
    return BulletinBoard(store), read  # type: ignore[arg-type]


def test_nothing_is_read_without_a_check() -> None:
    made, _ = board(0)
    for ask in (made.only, made.held):
        with pytest.raises(TypeError, match="check"):
            ask(ROUND, Kind.VOTE, ALDER)
    with pytest.raises(TypeError, match="check"):
        made.wait(ROUND, Kind.VOTE, (ALDER,), 0.0)


def test_a_place_is_read_up_to_what_a_round_can_need() -> None:
    made, read = board(PLACE.most)
    with pytest.raises(ObjectMissing, match="got no Vote that holds"):
        made.only(ROUND, Kind.VOTE, ALDER, lambda statement: None)
    assert len(read) == PLACE.most


def test_of_a_place_that_holds_more_nothing_is_read_and_its_owner_is_named() -> None:
    made, read = board(PLACE.most + 1)
    for ask in (
        lambda: made.only(ROUND, Kind.VOTE, ALDER, print),
        lambda: made.wait(ROUND, Kind.VOTE, (ALDER,), 0.0, print),
    ):
        with pytest.raises(Crowded, match=rf"^reports/rounds/7/nodes/alder/vote/: got more than {PLACE.most} objects"):
            ask()
    assert read == []
    assert len(made.some_digests(PLACE)) == PLACE.most
