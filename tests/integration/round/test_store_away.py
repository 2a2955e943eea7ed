"""The store is away in mid-round: each step says so at once, the round goes on when it is back, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.domain import RoundStatus
from pipeline.errors import Unavailable
from pipeline.round import steps
from pipeline.round_steps import ROUND
from pipeline.services import health
from pipeline.services.services import STORE
from tests.support.consortia import Site

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.timeout(900)]


@contextmanager
def away(site: Site) -> Iterator[None]:
    """The store is down within the block."""
    site.manager._call("stopProcess", STORE)
    try:
        yield
    finally:
        site.manager.launch(STORE)
        health.wait("the object store", lambda: health.store(site.services), 60)


def test_steps_name_the_store_and_the_same_round_goes_on_when_it_is_back(site: Site) -> None:
    play = site.play("store-away", deadlines={"commit_seconds": 1800, "result_seconds": 3600})
    round_id = play.open()
    first, second, third, *_ = play.study.hospitals
    play.hospitals(round_id, [first])
    begins, *_, hands_in = (step.name for step in ROUND if step.to_hand_in)
    for step in ("validate", "train"):
        play.hospital(step, round_id, second)
    with away(site):
        for name, step in ((second, hands_in), (third, begins)):
            with pytest.raises(Unavailable, match=r"is the store up\?"):
                steps.take_hospital(name, step, play.study.name, round_id, site.settings)
    assert site.ledger.status(round_id) is RoundStatus.OPEN
    play.hospitals(round_id, play.study.hospitals[1:])
    assert play.absences == {}
    with away(site), pytest.raises(Unavailable, match=r"is the store up\?"):
        steps.take_provider("commit", play.study.name, round_id, site.settings)
    assert site.ledger.status(round_id) is RoundStatus.OPEN
    play.commit(round_id)
    committed = site.ledger.round(round_id).committed
    assert committed is not None
    with away(site), pytest.raises(Unavailable, match=r"is the store up\?"):
        steps.take_provider("commit", play.study.name, round_id, site.settings)
    play.commit(round_id)
    assert site.ledger.round(round_id).committed == committed, "the same set, whoever asks again"
    site.pass_deadline(round_id)
    following = play.open("next")
    assert site.ledger.status(round_id) is RoundStatus.ABORTED
    assert site.ledger.status(following) is RoundStatus.OPEN
