"""Somebody else sends first what the provider was about to send: its step ends as the round did, and nothing fails."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from pipeline.domain import RoundId, RoundStatus
from pipeline.errors import RoundAborted, TooFew
from pipeline.evidence import merkle
from pipeline.round import ballots, provider
from tests.support.installed import HOSPITALS, NODES, Installed
from tests.support.rounds import Play

NORTH, EAST = NODES[:2]


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType, str, Callable[[Any], object]], None]:
    """Let something happen after the provider has found what it sends, and before it sends that."""

    def between(module: ModuleType, finds: str, happens: Callable[[Any], object]) -> None:
        real = getattr(module, finds)
        done = []

        def found(*arguments: Any) -> Any:
            answer = real(*arguments)
            if answer and not done:
                done.append(happens(answer))
            return answer

        monkeypatch.setattr(module, finds, found)

    return between


@pytest.fixture(scope="module")
def play(site: Installed) -> Play:
    return site.play("overtaken", deadlines={"commit_seconds": 600, "result_seconds": 1200})


def test_a_node_s_commit_and_a_hospital_s_end_of_the_round_go_before_the_provider_s(
    site: Installed, play: Play, first: Callable[..., None]
) -> None:
    round_id = play.open("one")
    play.hospitals(round_id)
    node = site.node_context(play, round_id, NORTH).worker

    def commits(listed: dict[str, Any]) -> None:
        node.outbox().send(node.ledger.commit_round(round_id, merkle.root(tuple(listed.values()))), f"first-{round_id}")

    first(provider, "_listed", commits)
    assert provider.commit(play.study.name, round_id, site.settings) == ()
    assert site.ledger.status(round_id) is RoundStatus.COMMITTED
    site.verified(play, round_id, play.study.hospitals[:2], (NORTH, EAST))
    for name in (NORTH, EAST):
        with pytest.raises(TooFew):
            play.node("aggregate", round_id, name)
    hospital = site.hospital_context(play, round_id, HOSPITALS[0]).worker

    def ends(ended: tuple[Any, list[str]]) -> None:
        hospital.outbox().send(
            hospital.ledger.abort_by_nodes(hospital.ledger.round(round_id), *ended), f"first-{round_id}"
        )

    first(ballots, "majority", ends)
    with pytest.raises(RoundAborted, match=r"2 nodes ended it \(too_few_accepted\)"):
        provider.finalise(play.study.name, round_id, site.settings)


def test_a_late_round_that_somebody_else_aborted_is_in_nobody_s_way(
    site: Installed, play: Play, first: Callable[..., None]
) -> None:
    late = play.open("two")
    hospital = site.hospital_context(play, late, HOSPITALS[0]).worker
    site.pass_deadline(late)

    def aborts(_: bool) -> None:
        hospital.outbox().send(hospital.ledger.abort_round(late), f"late-{late}")

    first(provider, "_is_late", aborts)
    following: RoundId = play.open("three")
    assert [site.ledger.status(round_id) for round_id in (late, following)] == [RoundStatus.ABORTED, RoundStatus.OPEN]
