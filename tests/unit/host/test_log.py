"""What our own processes write: one form, with the site, and within a step its study, round and name."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from pipeline import round_steps
from pipeline.errors import Refused
from pipeline.host import log
from pipeline.round import node, steps
from pipeline.site.settings import PROJECT
from tests.support.installations import settings_in

SPEAKS = """
import logging
from pipeline.host import log
log.begin("watch")
with log.about(study="small", round=7, step="verify"):
    logging.getLogger("pipeline.round").info("took %.1f s", 2)
try:
    raise ValueError("no such thing")
except ValueError:
    logging.getLogger("pipeline.watch").exception("it ended")
logging.getLogger("httpx").info("GET http://127.0.0.1")
"""

IN_AIRFLOW = """
import logging, sys
from airflow.sdk.log import configure_logging
from pipeline.host import log
configure_logging(json_output=True, output=sys.stdout.buffer)
with log.about(site="node-north", study="small", round=7, step="verify"):
    logging.getLogger("pipeline.round.steps").info("took %.1f s", 2.0)
"""


def said(**environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SPEAKS], cwd=PROJECT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def test_lines_are_for_people_where_nobody_asked() -> None:
    assert said()[:2] == ["INFO pipeline.round: took 2.0 s", "ERROR pipeline.watch: it ended"]


def test_each_line_is_json_with_what_it_is_about() -> None:
    first, second = map(json.loads, said(**{log.JSON: "1", log.SITE: "hospital-elm"}))
    assert datetime.fromisoformat(first.pop("timestamp")).utcoffset() is not None
    about = {"site": "hospital-elm", "study": "small", "round": 7, "step": "verify"}
    written = {"level": "info", "logger": "pipeline.round", "service": "watch", "event": "took 2.0 s"}
    assert first == {**written, **about}
    assert (second["level"], second["event"]) == ("error", "it ended")
    assert "ValueError: no such thing" in second["exception"]
    assert not {"study", "round", "step"} & set(second)


@pytest.mark.parametrize("fails", [False, True])
def test_a_step_says_whose_it_is_and_how_it_ended(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bound: list[Mapping[str, Any]] = []

    def taken(*_: object) -> None:
        bound.append(dict(structlog.contextvars.get_contextvars()))
        if fails:
            raise Refused("got nothing, want something")

    caplog.set_level(logging.INFO)
    assert round_steps.step("verify").function == "pipeline.round.node:verify"
    monkeypatch.setattr(node, "verify", taken)
    monkeypatch.setattr(steps, "_timed", lambda *_: None)
    ends = pytest.raises(Refused) if fails else pytest.MonkeyPatch.context()
    with ends:
        steps.take_node("north", "verify", "small", 7, settings_in(tmp_path))
    assert bound == [{"site": "node-north", "study": "small", "round": 7, "step": "verify"}]
    assert re.search(r"verify ended by Refused: got nothing" if fails else r"verify took \d+\.\d s", caplog.text)
    assert "step" not in structlog.contextvars.get_contextvars()


def test_a_step_s_lines_in_airflow_s_log_have_the_same_names(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_AIRFLOW],
        cwd=PROJECT,
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [json.loads(line) for line in done.stdout.splitlines() if "took" in line]
    assert datetime.fromisoformat(line.pop("timestamp"))
    written = {"level": "info", "logger": "pipeline.round.steps", "event": "took 2.0 s"}
    about = {"site": "node-north", "study": "small", "round": 7, "step": "verify"}
    assert {**written, **about}.items() <= line.items(), "beside them where it was written"
