"""kill -9 of services in the middle of a round.

It ends on the ledger, the model before holds, nothing is lost or doubled.

Store, chain and a party alone are killed in mid-round by tests/integration/round/test_faults.py.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from pipeline.domain import RoundId, RoundStatus
from pipeline.setup.services import STORE
from pipeline.setup.store import root_account
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.store.objects import Store
from tests.support.site import Site, sent, until

pytestmark = [pytest.mark.airflow, pytest.mark.store, pytest.mark.anvil, pytest.mark.spu]


def kill_service(name: str) -> Callable[[Site], None]:
    def kill(site: Site) -> None:
        os.kill(site.manager.pids()[name], signal.SIGKILL)

    return kill


def kill_anvil(site: Site) -> None:
    os.kill(int((site.settings.home / "chain" / "anvil.pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param([("train_birch", kill_anvil), ("share_birch", kill_service(STORE))], id="anvil, later MinIO"),
        pytest.param([("train_birch", kill_service("airflow-scheduler"))], id="scheduler"),
    ],
)
@pytest.mark.timeout(400)
def test_a_round_in_which_parts_are_killed_ends(
    site: Site, kills: Sequence[tuple[str, Callable[[Site], None]]]
) -> None:
    model = site.current_model("small")
    before = len(site.rounds("small"))
    run = site.trigger("small")
    for during, kill in kills:
        site.await_task(run, during, "running", "success")
        kill(site)
    outcome = site.await_end(run, seconds=300)
    (state,) = site.rounds("small")[before:]
    assert state.status is {"success": RoundStatus.FINALISED, "failed": RoundStatus.ABORTED}[outcome]
    assert state.opened.previous_model == model
    site.audit_all()
    check_nothing_doubled(site, state.round)
    assert until(lambda: all(row["healthy"] for row in site.json("status", ends_with=None)["services"]), 60)


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
