"""What the provider shows of each site, from what Airflow's table of workers holds."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pipeline.airflow import airflow, heard, postgres
from pipeline.airflow.heard import SiteHeard
from pipeline.errors import Misconfigured, Unavailable
from pipeline.host.files import write_secret
from pipeline.site import worker_report
from pipeline.site.settings import HOME
from tests.support.installations import INSTALLATION, settings_in
from tests.support.sites import NORTH, WREN, Apart

NOW = datetime(2026, 11, 29, 21, 0, tzinfo=UTC)


def row(**changes: Any) -> dict[str, Any]:
    said = {"wardround_version": "0.1.0", "wardround_engine": "spu", "wardround_time": NOW.timestamp() + 3}
    return {"state": "idle", "last_update": NOW, "jobs_active": 1, "sysinfo": said} | changes


def test_a_site_is_shown_by_what_its_worker_said_last() -> None:
    seen = heard.read("node-north", row())
    assert seen == SiteHeard("node-north", "idle", NOW.timestamp(), 1, "0.1.0", "spu", 3.0)
    assert not seen.silent(NOW.timestamp() + 30)
    assert seen.last(NOW.timestamp() + 30) == "30 s ago"


@pytest.mark.parametrize(
    ("changes", "later"), [({}, 121), ({"state": "unknown"}, 1), ({"state": "offline"}, 1)], ids=["old", "lost", "gone"]
)
def test_who_was_there_and_says_nothing_any_more_is_silent(changes: dict[str, Any], later: int) -> None:
    assert heard.read("node-north", row(**changes)).silent(NOW.timestamp() + later)


def test_who_never_came_is_not_silent_but_never_heard() -> None:
    seen = heard.read("node-north", None)
    assert (seen.state, seen.last(0), seen.silent(1e12)) == ("never", "never", False)


@pytest.mark.parametrize("value", [None, [], {"a": 1}, 10**400, -1e300, True, "x" * 61, "a\nb", "\x1b[31m"], ids=repr)
def test_what_a_worker_says_of_itself_is_read_as_a_stranger_s(value: Any) -> None:
    said = dict.fromkeys(("wardround_version", "wardround_engine", "wardround_time"), value)
    seen = heard.read("node-north", row(sysinfo=said))
    assert (seen.version, seen.engine, seen.clock) == (None, None, None)
    assert heard.read("node-north", row(sysinfo=value)).version is None


def test_a_worker_reports_version_engines_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME, str(tmp_path))
    NORTH.save(settings_in(tmp_path))
    worker_report._engines.cache_clear()
    said = asyncio.run(worker_report.report())
    worker_report._engines.cache_clear()
    assert said["wardround_version"] == version("wardround")
    assert said["wardround_engine"] in {"spu", "mp-spdz", "mp-spdz, spu", "none"}
    assert abs(float(said["wardround_time"]) - time.time()) < 60
    environment = airflow.worker_environment(settings_in(tmp_path), INSTALLATION, WREN.queue)
    assert environment["AIRFLOW__EDGE__EXTENDED_SYSTEM_INFO_FUNCTION"] == "pipeline.site.worker_report.report"


def test_no_database_is_said_without_its_password(tmp_path: Path) -> None:
    apart = Apart.made(tmp_path)
    with pytest.raises(Misconfigured):
        heard.all_sites(apart.provider)
    address = f"postgresql+psycopg2://airflow:hunter2@/airflow?host={tmp_path}"
    write_secret(postgres.url_file(apart.provider), address.encode())
    with pytest.raises(Unavailable, match="Airflow's database: got OperationalError") as refused:
        heard.all_sites(apart.provider)
    assert "hunter2" not in str(refused.value)
