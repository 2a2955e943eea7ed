"""Hospitals that fail or cheat, with a real store that lets nobody write in another's place, and a real engine."""

from __future__ import annotations

import pytest

from tests.unit.round.test_trouble import (
    first,
    play,
    test_forged_copied_replayed_and_misshapen_shares_stay_out_of_the_next_round,
    test_hospitals_that_fail_in_different_ways_are_named_with_their_reasons,
)

__all__ = [
    "first",
    "play",
    "test_forged_copied_replayed_and_misshapen_shares_stay_out_of_the_next_round",
    "test_hospitals_that_fail_in_different_ways_are_named_with_their_reasons",
]

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.spu]
