"""A round all of whose verifications fail: the terminal says what, why and where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.domain import RoundStatus
from tests.support.site import Following, Site, until

pytestmark = [pytest.mark.airflow, pytest.mark.store, pytest.mark.anvil, pytest.mark.spu, pytest.mark.timeout(600)]

STUDY = "doomed"
NODES = ("north", "east", "west")


@pytest.fixture
def following(site: Site) -> Iterator[Following]:
    with site.following("run", STUDY) as command:
        yield command


def kill_parties(site: Site) -> None:
    for party in site.parties():
        try:
            party.kill()
        except psutil.NoSuchProcess:
            continue


def test_the_terminal_says_what_failed_why_and_where(site: Site, following: Following) -> None:
    def ended() -> bool:
        return following.process.poll() is not None

    def hopeless() -> bool:
        kill_parties(site)
        said = following.said()
        return "The ledger keeps round" in said and all(f"verify_{node} failed: " in said for node in NODES)

    until(lambda: ended() or hopeless(), 400)
    if not ended():  # no majority of the nodes said that they cannot
        site.pass_deadline(site.rounds(STUDY)[0].round)
    until(ended, 60)
    said = following.said()
    assert following.process.returncode == 2, said
    for node in NODES:
        assert re.search(rf"verify_{node} failed and is tried again: \S", said), said
        (log,) = re.findall(rf"verify_{node} failed: .+\n  log: (.+)\n", said)
        assert Path(log).exists()
    assert "the party process was killed (signal 9)" in said
    assert f"a round of {STUDY} ended without a model (verify_" in said
    assert "Traceback" not in said
    assert [state.status for state in site.rounds(STUDY)] == [RoundStatus.ABORTED]
