"""Of what tests/unit/round plays in memory one case of each kind, with a real store, chain and engine."""

from __future__ import annotations

import pytest

from tests.unit.round.test_decisions import test_a_hospital_that_committed_directly_is_in_every_set
from tests.unit.round.test_refusals import (
    opened,
    test_a_sealing_key_that_the_provider_slipped_in_gets_no_envelope,
    test_nobody_works_for_a_study_that_was_edited_after_the_approval,
    test_wrong_store_credentials_get_nothing_and_say_so,
)
from tests.unit.round.test_votes import (
    test_a_node_that_cast_two_votes_counts_for_none_and_the_round_ends_by_the_other_two,
    voted,
)

__all__ = [
    "opened",
    "test_a_hospital_that_committed_directly_is_in_every_set",
    "test_a_node_that_cast_two_votes_counts_for_none_and_the_round_ends_by_the_other_two",
    "test_a_sealing_key_that_the_provider_slipped_in_gets_no_envelope",
    "test_nobody_works_for_a_study_that_was_edited_after_the_approval",
    "test_wrong_store_credentials_get_nothing_and_say_so",
    "voted",
]

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.spu]
