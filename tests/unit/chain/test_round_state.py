from __future__ import annotations

from dataclasses import replace

from eth_utils.crypto import keccak

from pipeline.chain.ledger import RoundState, study_id
from pipeline.domain import Result, RoundId, RoundStatus, Sha256
from pipeline.ledger_types.events import (
    AbortedEvent,
    CommittedEvent,
    FinalisedEvent,
    OpenedEvent,
    StudyId,
    TxLocation,
)

_PLACE = TxLocation("0x" + "00" * 32, 5, 1000)
_STUDY = StudyId("77" * 32)
_ROUND = RoundId(3)
_OPENED = OpenedEvent(_ROUND, _STUDY, Sha256("11" * 32), Sha256("22" * 32), Sha256("aa" * 32), 1100, 1200, _PLACE)
_COMMITTED = CommittedEvent(_ROUND, Sha256("33" * 32), _PLACE)
_FINALISED = FinalisedEvent(_ROUND, 0b101, Sha256("44" * 32), Sha256("55" * 32), 0b011, _PLACE)


def test_a_study_id_is_the_keccak_of_its_name() -> None:
    assert study_id("pneumonia") == keccak(b"pneumonia").hex()


def test_the_status_follows_the_events() -> None:
    opened = RoundState(_OPENED)
    committed = replace(opened, committed=_COMMITTED)
    assert [opened.status, committed.status] == [RoundStatus.OPEN, RoundStatus.COMMITTED]
    assert replace(committed, finalised=_FINALISED).status is RoundStatus.FINALISED
    aborted = AbortedEvent(_ROUND, RoundStatus.OPEN, _PLACE)
    assert replace(opened, aborted=aborted).status is RoundStatus.ABORTED


def test_the_deadline_is_that_of_the_next_step() -> None:
    opened = RoundState(_OPENED)
    committed = replace(opened, committed=_COMMITTED)
    assert (opened.deadline, committed.deadline) == (1100, 1200)
    assert replace(committed, finalised=_FINALISED).deadline is None


def test_the_result_is_what_the_majority_signed() -> None:
    state = RoundState(_OPENED, _COMMITTED, _FINALISED)
    assert state.result == Result(
        _ROUND, Sha256("11" * 32), Sha256("33" * 32), 0b101, Sha256("22" * 32), Sha256("44" * 32), Sha256("55" * 32)
    )
    assert RoundState(_OPENED, _COMMITTED).result is None
