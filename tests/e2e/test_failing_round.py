"""A round all of whose verifications fail: the terminal says what, why and until when, and may be left."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.domain import RoundStatus
from tests.support.site import Following, Site, until

pytestmark = [pytest.mark.airflow, pytest.mark.minio, pytest.mark.anvil, pytest.mark.spu, pytest.mark.timeout(600)]

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


def test_the_terminal_says_what_failed_and_until_when_the_ledger_waits_and_leaves_the_round_to_end(
    site: Site, following: Following
) -> None:
    def given_up() -> bool:
        kill_parties(site)
        said = following.said()
        return "no majority of the nodes" in said and all(f"verify_{node} failed: " in said for node in NODES)

    until(given_up, 300)
    said = following.said()
    for node in NODES:
        assert re.search(rf"verify_{node} failed and is tried again: \S", said)
        (log,) = re.findall(rf"verify_{node} failed: .+\n  log: (.+)\n", said)
        assert Path(log).exists()
    assert "the party process was killed (signal 9)" in said
    (state,) = site.rounds(STUDY)
    kept = rf"The ledger keeps round {state.round} open until \d\d:\d\d:\d\d, (\d min )?\d+ s from now; then the model before stays"
    assert re.search(rf"{kept}|No round of the study is open on the ledger", said)

    following.process.send_signal(signal.SIGINT)
    assert following.process.wait(30) == 130
    assert "goes on without this terminal and ends by itself: `wardround rounds`" in following.said()
    assert "Traceback" not in following.said()
    (run,) = site.runs(STUDY)
    assert site.await_end(f"/api/v2/dags/round_{STUDY}/dagRuns/{run}") == "failed"
    assert [state.status for state in site.rounds(STUDY)] == [RoundStatus.ABORTED]
