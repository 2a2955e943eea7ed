"""Quarantine after four rejections within five rounds."""

from __future__ import annotations

from pipeline.domain import HospitalName, RoundId, Verdict
from pipeline.round import strikes

NORD = HospitalName("nord")
SUED = HospitalName("sued")


def _play(verdicts: str, rounds: list[int] | None = None) -> tuple[strikes.Strikes, tuple[HospitalName, ...]]:
    state: strikes.Strikes = {}
    out: tuple[HospitalName, ...] = ()
    past: list[RoundId] = []
    letters = {"r": Verdict.REJECTED, "a": Verdict.ACCEPTED, "-": Verdict.ABSENT}
    for number, letter in zip(rounds or range(1, len(verdicts) + 1), verdicts, strict=True):
        state = strikes.updated(state, {NORD: letters[letter], SUED: Verdict.ACCEPTED}, RoundId(number), past, 5)
        out = strikes.quarantined(state, out, 4)
        past.append(RoundId(number))
    return state, out


def test_four_rejections_in_a_row_quarantine() -> None:
    assert _play("rrr")[1] == ()
    assert _play("rrrr")[1] == (NORD,)


def test_four_of_five_rounds_quarantine_and_four_of_six_do_not() -> None:
    assert _play("rrarr")[1] == (NORD,)
    assert _play("rraarr") == ({NORD: (2, 5, 6)}, ())


def test_absence_is_no_strike() -> None:
    assert _play("r-r-r")[1] == ()


def test_the_window_counts_the_studys_own_rounds_whatever_their_numbers() -> None:
    assert _play("rrrr", [3, 10, 40, 41]) == ({NORD: (3, 10, 40, 41)}, (NORD,))


def test_a_strike_leaves_with_its_round() -> None:
    assert _play("raaaa")[0] == {NORD: (1,)}
    assert _play("raaaaa")[0] == {}


def test_quarantine_outlasts_the_strikes_until_released() -> None:
    state, out = _play("rrrr-----")
    assert (state, out) == ({}, (NORD,))
    assert strikes.released({NORD: (RoundId(1),), SUED: (RoundId(2),)}, out, NORD) == ({SUED: (2,)}, ())


def test_a_window_of_one_round_forgets_the_rounds_before() -> None:
    before = {NORD: (RoundId(1),)}
    assert strikes.updated(before, {NORD: Verdict.ACCEPTED}, RoundId(2), [RoundId(1)], 1) == {}


class _Rule:
    strikes = 2
    strike_window = 3


def test_whom_a_majority_blames_for_an_aborted_round_has_a_strike_and_is_out_at_the_limit() -> None:
    struck, out = strikes.blamed({NORD: (RoundId(1),)}, (), [SUED], RoundId(2), [RoundId(1)], _Rule)
    assert (struck, out) == ({NORD: (1,), SUED: (2,)}, ())
    struck, out = strikes.blamed(struck, out, [SUED, NORD], RoundId(4), [RoundId(1), RoundId(2)], _Rule)
    assert (struck, out) == ({NORD: (1, 4), SUED: (2, 4)}, (NORD, SUED))
