"""The rounds beside a round, found without reading all of them."""

from __future__ import annotations

import pytest

from pipeline.chain import ledger as module
from pipeline.domain import RoundId, Sha256
from pipeline.ledger_types.events import StudyId
from tests.support.chains import ROOT, Actors

pytestmark = pytest.mark.anvil


@pytest.fixture
def rounds(actors: Actors, study: StudyId) -> list[RoundId]:
    """Five finished rounds of one study, each beside one of another, and a last one that is open."""
    other = actors.new_study("beside it")
    made = []
    for number in range(5):
        for each in (study, other):
            opened = actors.committed(each)
            result = actors.result(opened, Sha256(f"{number + 1:02x}" * 32))
            actors.send(actors.provider, actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes)))
            if each == study:
                made.append(opened)
    return [*made, actors.open(study)]


def test_neighbours_are_those_of_the_study_however_far_the_search_must_go(
    actors: Actors, rounds: list[RoundId], monkeypatch: pytest.MonkeyPatch
) -> None:
    for window in (1, 3, 1000):
        monkeypatch.setattr(module, "_FIRST_WINDOW", window)
        for index, number in enumerate(rounds):
            state = actors.ledger.round(number)
            for count in (0, 1, 3, 9):
                assert [found.round for found in actors.ledger.before(state, count)] == rounds[
                    max(0, index - count) : index
                ]
            after = actors.ledger.after(state)
            assert (after.round if after else None) == (rounds[index + 1] if index + 1 < len(rounds) else None)
    assert actors.ledger.round(rounds[0]).committed.root == ROOT  # type: ignore[union-attr]
