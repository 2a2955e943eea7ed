"""The rounds beside a round, found without reading all of them."""

from __future__ import annotations

import pytest

from pipeline.chain import ledger as module
from pipeline.chain.ledger import study_id
from pipeline.domain import RoundId, Sha256
from pipeline.ledger_types.events import StudyId
from tests.support.chains import ROOT, Actors

pytestmark = pytest.mark.anvil


@pytest.fixture
def rounds(actors: Actors, study: StudyId) -> list[RoundId]:
    """Five finished rounds of one study, each beside one of another, and a last one that is open."""
    other = actors.new_study(f"beside {study}")
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


def test_a_study_that_continues_a_round_has_the_rounds_up_to_that_one_before_its_own(
    actors: Actors, study: StudyId, rounds: list[RoundId], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two versions, one after the other; the second leaves the first one's last round out.
    ledger = actors.ledger
    nodes = [node.address for node in actors.nodes]
    own: list[list[RoundId]] = []
    line = rounds[:3]
    for version in ("second version", "third version"):
        continued = line[-1]
        model = ledger.round(continued).finalised.new_model  # type: ignore[union-attr]
        actors.send(actors.provider, ledger.continue_round(study_id(version), nodes, continued, model))
        assert ledger.parent_round(study_id(version)) == continued
        assert (
            ledger.study(study_id(version)).current_model,
            ledger.registration(study_id(version)).initial_model,
        ) == (
            model,
            model,
        )
        own.append([])
        for number in range(2):
            opened = actors.committed(study_id(version))
            result = actors.result(opened, Sha256(f"{len(own)}{number}" * 32))
            actors.send(actors.provider, ledger.finalise_round(result, actors.sign(result, *actors.nodes)))
            own[-1].append(opened)
        line = [*line, own[-1][0]]
    line.append(own[-1][1])
    assert ledger.parent_round(study) is None
    assert [state.round for state in ledger.line(study)] == rounds
    assert [state.round for state in ledger.line(study_id("third version"))] == line
    for window in (1, 1000):
        monkeypatch.setattr(module, "_FIRST_WINDOW", window)
        for index, number in enumerate(line):
            state = ledger.round(number)
            assert [found.round for found in ledger.before(state, 2)] == line[max(0, index - 2) : index]
            assert [found.round for found in ledger.judged(state, 9)] == line[:index]
    assert ledger.released(study_id("third version"), ledger.round(line[-3])) == ()
