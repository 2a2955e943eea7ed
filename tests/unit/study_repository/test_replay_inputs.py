"""What a reproduction starts from: the records of the rounds before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.domain import HospitalName, RoundId, Verdict
from pipeline.errors import EvidenceRejected, Misconfigured
from pipeline.store import object_keys
from pipeline.study_repository.replay_inputs import read_inputs
from tests.support.finished_rounds import DictLedger, DictStore, RoundMaker, consortium, model, study

RECORDS = Path("records")


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rounds 2, 5 and 9 of one study, 11 of one that continues its round 5, and 3 of another, as they are recorded."""
    monkeypatch.chdir(tmp_path)
    after: dict[int, RoundMaker] = {}
    for number, (name, rounds) in enumerate({"wisconsin": (2, 5, 9), "other": (3,), "next": (11,)}.items()):
        of = study(name=name)
        store = DictStore()
        maker = RoundMaker(of, consortium(of), store.put, DictLedger(of, consortium(of)))
        maker.start(model(100 + number))
        if name == "next":
            maker.current = after[5].current
            maker.budget = after[5].budget
        for round_id in rounds:
            absent = ["hillside"] if round_id == 5 else []
            result = maker.finish(
                RoundId(round_id), rejected=["southmoor"], absent=absent, new_model=model(10 * number + round_id)
            )
            after[round_id] = replace(maker)
            folder = RECORDS / "rounds" / str(round_id)
            folder.mkdir(parents=True)
            place = object_keys.record(RoundId(round_id))
            (folder / "record.json").write_bytes(store.get(place.bucket, place.key(result.record), result.record))
    return RECORDS


def test_the_first_round_has_no_budget_and_no_past(records: Path) -> None:
    found = read_inputs(records, RoundId(2))
    assert found.finished == 0
    line = found.training(records, HospitalName("northgate"))
    assert line[-4:] == ("--round", "2", "--rounds-finished", "0")


def test_a_later_round_counts_the_studys_own_finished_rounds(records: Path) -> None:
    found = read_inputs(records, RoundId(9))
    assert found.finished == 2
    assert found.verdicts[HospitalName("southmoor")] == (Verdict.REJECTED, Verdict.REJECTED)
    assert found.verdicts[HospitalName("hillside")] == (Verdict.ACCEPTED,)
    line = " ".join(found.training(records, HospitalName("southmoor")))
    assert line == (
        f"--model records/models/{found.record.previous_model}.safetensors --round 9 --rounds-finished 2 "
        f"--budget {found.record.budget} --verdicts rejected,rejected"
    )


def test_a_study_that_continues_another_counts_the_rounds_up_to_the_one_whose_model_it_took(records: Path) -> None:
    found = read_inputs(records, RoundId(11))
    assert found.finished == 2
    assert found.verdicts[HospitalName("hillside")] == (Verdict.ACCEPTED,)
    assert f"--budget {found.record.budget}" in " ".join(found.training(records, HospitalName("southmoor")))


def test_the_nodes_are_told_the_record_and_the_model_before_it(records: Path) -> None:
    found = read_inputs(records, RoundId(5))
    assert found.verification(records)[1] == "records/rounds/5/record.json"
    assert found.verification(records)[3] == f"records/models/{found.record.previous_model}.safetensors"


def test_a_round_that_was_not_recorded_is_named_with_those_that_were(records: Path) -> None:
    with pytest.raises(Misconfigured, match=r"rounds/4/record\.json.*2, 3, 5, 9, 11"):
        read_inputs(records, RoundId(4))


def test_a_gap_in_the_recorded_lineage_is_refused(records: Path) -> None:
    (records / "rounds" / "5" / "record.json").unlink()
    (records / "rounds" / "5").rmdir()
    with pytest.raises(Misconfigured, match="on which round 9 stands"):
        read_inputs(records, RoundId(9))


def test_an_edited_record_is_refused(records: Path) -> None:
    path = records / "rounds" / "5" / "record.json"
    path.write_bytes(path.read_bytes().replace(b'"averaged":3', b'"averaged":9'))
    with pytest.raises(EvidenceRejected, match=r"rounds/5/record\.json"):
        read_inputs(records, RoundId(9))
