"""kill -9 of services in the middle of a round.

It ends on the ledger, the model before holds, nothing is lost or doubled.

Store, chain and a party alone are killed in mid-round by tests/integration/round/test_faults.py.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

import psutil
import pytest

from pipeline.domain import RoundId, RoundStatus
from pipeline.services import status
from pipeline.services.servers import root_account
from pipeline.services.services import NAMES, STORE
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.store.objects import Store
from tests.support.site import Site, sent, until

pytestmark = [pytest.mark.airflow, pytest.mark.store, pytest.mark.anvil, pytest.mark.spu]


_PATIENCE_SECONDS = 180
_BEGUN = ("running", "success", "failed", "upstream_failed", "skipped")


def kill_anvil(site: Site) -> None:
    os.kill(int((site.settings.home / "chain" / "anvil.pid").read_text()), signal.SIGKILL)


def kill_every_service(site: Site) -> None:
    """Fail unless each comes back, and nothing that a killed process started outlives it."""
    before = site.manager.pids()
    groups = [process for process in site.manager.processes() if os.getpgid(process.pid) in before.values()]
    for name in NAMES:
        os.kill(before[name], signal.SIGKILL)
    until(lambda: all(site.manager.pids().get(name) not in (before[name], None) for name in NAMES), _PATIENCE_SECONDS)
    until(lambda: all(row["healthy"] for row in status.report(site.settings)), _PATIENCE_SECONDS)
    _, left = psutil.wait_procs(groups, timeout=30)
    alive = [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert alive == [], "children of a killed process outlived it"


@pytest.mark.timeout(600)
def test_a_round_ends_in_which_every_service_is_killed_and_later_store_and_anvil_once_more(site: Site) -> None:
    model = site.current_model("small")
    before = len(site.rounds("small"))
    run = site.trigger("small")
    site.await_task(run, "train_birch", *_BEGUN)
    kill_every_service(site)
    site.await_task(run, "share_birch", *_BEGUN, seconds=200)
    os.kill(site.manager.pids()[STORE], signal.SIGKILL)
    site.await_task(run, "verify_north", *_BEGUN, seconds=200)
    kill_anvil(site)
    outcome = site.await_end(run, seconds=300)
    (state,) = site.rounds("small")[before:]
    assert state.status is {"success": RoundStatus.FINALISED, "failed": RoundStatus.ABORTED}[outcome]
    assert state.opened.previous_model == model
    site.audit_all()
    check_nothing_doubled(site, state.round)
    assert until(lambda: all(row["healthy"] for row in status.report(site.settings)), 60)


def check_nothing_doubled(site: Site, round_id: RoundId) -> None:
    # An actor states each kind of thing once; sealed envelopes to several nodes lie in places of their own.
    operator = Store(Installation.load(site.settings.installation).store, root_account(site.settings))
    for bucket in ("reports", "mailbox"):
        found = [info.key for info in operator.list(bucket, f"rounds/{round_id}/")]
        assert found
        places = Counter(key.rpartition("/")[0] for key in found if "/timings/" not in key)
        assert [place for place, count in places.items() if count > 1 and not place.endswith("/report")] == []
    provider = Identity.load(site.settings.provider)
    sending = sent(provider.home / "outbox")
    assert [nonce for nonce, _ in sending] == list(range(len(sending)))
    assert len({label for _, label in sending}) == len(sending)
    assert len(list((provider.home / "outbox").rglob("*.receipt.json"))) == len(sending)
