"""A round that counts by subgroup, with a real store, chain and engine: the cases of tests/unit/round in memory."""

from __future__ import annotations

import pytest

from tests.unit.round.test_subgroups import (
    play,
    test_a_group_below_the_floor_is_withheld_and_so_is_the_one_that_would_give_it_away,
    test_each_groups_counts_are_those_of_the_pooled_records,
    test_no_hospitals_own_counts_by_subgroup_are_in_any_object_of_the_round,
    test_the_round_audits,
)

__all__ = [
    "play",
    "test_a_group_below_the_floor_is_withheld_and_so_is_the_one_that_would_give_it_away",
    "test_each_groups_counts_are_those_of_the_pooled_records",
    "test_no_hospitals_own_counts_by_subgroup_are_in_any_object_of_the_round",
    "test_the_round_audits",
]

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.spu]
