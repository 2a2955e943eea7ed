"""The report of a round that ended without a model, in a real store and a study repository."""

from __future__ import annotations

import subprocess

import pytest

from pipeline.domain import RoundId
from pipeline.errors import RoundAborted
from pipeline.store import object_keys
from pipeline.views.observer import Observer
from tests.support.installed import Installed
from tests.support.rounds import Play
from tests.unit.round.test_ends import few, test_a_round_that_cannot_end_with_a_model_ends_before_its_deadline

__all__ = ["few", "test_a_round_that_cannot_end_with_a_model_ends_before_its_deadline"]

pytestmark = [pytest.mark.store, pytest.mark.anvil]


def test_an_aborted_round_has_a_report_in_the_store_and_in_the_study_repository(
    site: Installed, few: tuple[Play, RoundId]
) -> None:
    play, round_id = few
    for _ in range(2):
        with pytest.raises(RoundAborted, match="aborted on the ledger"):
            play.provider("record", round_id)
    page = Observer.open(site.settings).page(round_id, site.settings)
    for said in (
        "aborted",
        "Too few hospitals were accepted. north, east signed that",
        "TooFew: round",
        "west said nothing about this round",
    ):
        assert said in page
    (digest,) = site.board().digests(object_keys.report(round_id, "html"))
    assert site.board().fetch(object_keys.report(round_id, "html"), digest) == page.encode()
    git = ["git", "-C", str(site.settings.records)]
    recorded = subprocess.run(
        [*git, "show", f"round-{round_id}:rounds/{round_id}/report.html"], check=True, capture_output=True
    )
    assert recorded.stdout == page.encode()
    counted = subprocess.run([*git, "log", "--format=%s", "main"], check=True, capture_output=True, text=True).stdout
    assert counted.count(f"Round {round_id} of few, no model: too few hospitals were accepted") == 1
