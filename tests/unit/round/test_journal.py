import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.domain import HospitalName, Kind, RoundId, Sha256, Statement
from pipeline.errors import ConflictingVote, SecondOpening
from pipeline.round.journal import Commit, Journal

ROUND = RoundId(3)
COMMIT = Commit(Sha256("a" * 64), Sha256("b" * 64), Sha256("c" * 64))
ELM, ASTER, BIRCH = (HospitalName(name) for name in ("elm", "aster", "birch"))
INPUTS = {ELM: Sha256("1" * 64), ASTER: Sha256("2" * 64), BIRCH: Sha256("3" * 64)}


def vote(model: str) -> Statement:
    return Statement(Kind.VOTE, "north", {"new_model": model * 64}, "00")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def test_one_opening_per_commit_whatever_is_asked_later(journal: Journal) -> None:
    journal.begin_opening(COMMIT, (ELM, ASTER, BIRCH), INPUTS)
    with pytest.raises(SecondOpening, match="two openings"):
        journal.begin_opening(COMMIT, (ELM, ASTER), INPUTS)


def test_the_same_accepted_set_over_other_inputs_is_a_second_opening(journal: Journal) -> None:
    journal.begin_opening(COMMIT, (ELM, ASTER, BIRCH), INPUTS)
    with pytest.raises(SecondOpening):
        journal.begin_opening(COMMIT, (ELM, ASTER, BIRCH), INPUTS | {ELM: Sha256("9" * 64)})


def test_a_rerun_gets_the_journalled_output(journal: Journal) -> None:
    journal.begin_opening(COMMIT, (ELM, ASTER, BIRCH), INPUTS)
    assert journal.opened(COMMIT) is None
    journal.end_opening(COMMIT, {"total": [1, -2], "count": 3})
    journal.begin_opening(COMMIT, (ELM, ASTER, BIRCH), INPUTS)
    assert journal.opened(COMMIT) == {"total": [1, -2], "count": 3}


def test_the_refusal_outlives_the_output(journal: Journal) -> None:
    journal.begin_opening(COMMIT, (ELM, ASTER, BIRCH), INPUTS)
    journal.end_opening(COMMIT, {"total": [1], "count": 3})
    with pytest.raises(SecondOpening):
        journal.begin_opening(COMMIT, (ASTER, BIRCH), INPUTS)


def test_another_commit_is_another_opening(journal: Journal) -> None:
    journal.begin_opening(COMMIT, (ELM, ASTER, BIRCH), INPUTS)
    journal.begin_opening(Commit(COMMIT.study_digest, COMMIT.previous_model, Sha256("d" * 64)), (ELM, ASTER), INPUTS)


def test_a_vote_is_only_ever_resent(journal: Journal) -> None:
    assert journal.say(ROUND, vote("a")) == vote("a")
    assert journal.say(ROUND, vote("a")) == vote("a")
    with pytest.raises(ConflictingVote):
        journal.say(ROUND, vote("b"))
    assert journal.said(ROUND, Kind.VOTE) == vote("a")


def test_votes_of_two_rounds_do_not_meet(journal: Journal) -> None:
    journal.say(ROUND, vote("a"))
    assert journal.say(RoundId(4), vote("b")) == vote("b")


def test_a_verification_reveals_one_outcome(journal: Journal) -> None:
    journal.reveal(ROUND, {"accepted": ["elm"], "budget": 5})
    journal.reveal(ROUND, {"accepted": ["elm"], "budget": 5})
    with pytest.raises(SecondOpening):
        journal.reveal(ROUND, {"accepted": [], "budget": 5})
    assert journal.revealed(ROUND) == {"accepted": ["elm"], "budget": 5}


def test_its_files_are_the_nodes_own(journal: Journal) -> None:
    journal.say(ROUND, vote("a"))
    journal.begin_opening(COMMIT, (ELM, ASTER, BIRCH), INPUTS)
    written = [path for path in journal.folder.iterdir() if path.suffix == ".json"]
    assert written
    assert all(stat.S_IMODE(os.stat(path).st_mode) == 0o600 for path in written)


@pytest.mark.parametrize(("first", "second"), [(Kind.VOTE, Kind.ABORT), (Kind.ABORT, Kind.VOTE)])
def test_a_node_votes_for_a_result_or_for_an_end_without_one(journal: Journal, first: Kind, second: Kind) -> None:
    journal.say(ROUND, Statement(first, "north", {}, "00"))
    restarted = Journal(journal.folder)
    for node in (journal, restarted):
        with pytest.raises(ConflictingVote, match=f"asked to sign {second}, but this node has signed {first}"):
            node.say(ROUND, Statement(second, "north", {}, "00"))
    restarted.say(RoundId(4), Statement(second, "north", {}, "00"))
    restarted.say(ROUND, Statement(first, "north", {}, "00"))


@pytest.mark.parametrize("kind", [Kind.VOTE, Kind.ABORT])
def test_a_node_that_was_restarted_signs_no_second_decision(journal: Journal, kind: Kind) -> None:
    journal.say(ROUND, Statement(kind, "north", {"reason": "one"}, "00"))
    with pytest.raises(ConflictingVote, match="only ever resent"):
        Journal(journal.folder).say(ROUND, Statement(kind, "north", {"reason": "another"}, "00"))


def test_of_a_result_and_an_end_at_the_same_time_a_node_signs_one(journal: Journal) -> None:
    def say(kind: Kind) -> bool:
        try:
            return bool(Journal(journal.folder).say(ROUND, Statement(kind, "north", {}, "00")))
        except ConflictingVote:
            return False

    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(say, [Kind.VOTE, Kind.ABORT] * 8))
    assert sorted((any(said[::2]), any(said[1::2]))) == [False, True]


def test_the_last_trouble_of_a_round_is_kept(journal: Journal) -> None:
    assert journal.trouble(ROUND) == {}
    journal.note_trouble(ROUND, {"saw": "nobody"})
    journal.note_trouble(ROUND, {"saw": "somebody"})
    assert (journal.trouble(ROUND), journal.trouble(RoundId(4))) == ({"saw": "somebody"}, {})
