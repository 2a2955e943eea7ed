"""What the guard writes down: one form with all services, and nothing of a request that its server did not answer."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

import httpx

from pipeline.host import log, ports
from pipeline.services import servers
from pipeline.services.guard import LISTENS
from pipeline.site.settings import Settings
from pipeline.tools import runtime

SECRET = "AWS4-HMAC-SHA256 Credential=canary-of-a-credential"


def written(environment: Mapping[str, str]) -> list[str]:
    """What a guard whose server is away writes of one request, in its own words."""
    runtime.guard_environment(Settings.load())
    port, away = ports.choose(), ports.choose()
    launch = servers.in_front("minio", runtime.caddy_path(), f"127.0.0.1:{away}")
    process = subprocess.Popen(
        launch.command,
        env={
            **os.environ,
            **launch.environment,
            LISTENS: "127.0.0.1",
            "GUARD_ADDRESS": f"http://127.0.0.1:{port}",
            **environment,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = httpx.get(
                    f"http://127.0.0.1:{port}/health",
                    headers={"Authorization": SECRET, "Cookie": SECRET},
                    timeout=30,
                )
                break
            except httpx.ConnectError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert answer.status_code == 502
    finally:
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert "canary" not in said
    return said.splitlines()


def test_its_lines_are_json_with_the_names_of_all_services_where_somebody_asks() -> None:
    lines = [
        json.loads(line)
        for line in written({servers.CADDY_LOG: "json", servers.CADDY_SERVICE: "store", log.SITE: "provider"})
    ]
    assert lines
    for line in lines:
        assert {"timestamp", "level", "event"} <= set(line)
        assert (line["service"], line["site"]) == ("store", "provider")
        assert datetime.fromisoformat(line["timestamp"]).utcoffset() == timedelta()


def test_its_lines_are_for_people_otherwise() -> None:
    lines = written({})
    assert any("WARN" in line for line in lines)
    assert not any(line.startswith("{") or "\x1b" in line for line in lines)
