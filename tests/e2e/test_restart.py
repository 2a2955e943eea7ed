"""`wardround status`, `doctor`, `down`, `up`: last, since they stop everything."""

from __future__ import annotations

import psutil
import pytest

from pipeline.setup.services import NAMES
from pipeline.site.installation import Installation
from tests.support.site import Site

pytestmark = [pytest.mark.airflow, pytest.mark.store, pytest.mark.anvil]


def test_every_service_is_healthy_and_the_machine_has_what_it_needs(site: Site) -> None:
    assert [(row["service"], row["process"], row["healthy"]) for row in site.json("status")["services"]] == [
        (name, "running", True) for name in NAMES
    ]
    assert "engine spu: ready" in site.wardround("doctor")


def test_down_leaves_nothing_running_and_up_finds_every_round_where_it_was(site: Site) -> None:
    rounds = site.json("rounds")
    digest = site.wardround("study", "digest", "small")
    installation = Installation.load(site.settings.installation)
    height = site.ledger.height()
    started = site.manager.processes()
    site.wardround("down")
    assert site.manager.processes() == site.parties() == []
    assert [process for process in started if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []
    assert {row["process"] for row in site.json("status", ends_with=1)["services"]} == {"stopped"}
    site.wardround("up")
    assert Installation.load(site.settings.installation) == installation
    assert site.ledger.height() == height
    assert site.json("rounds") == rounds
    assert site.wardround("study", "digest", "small") == digest
    site.audit_all()
