"""The same study on one machine, before any other is made: what the rounds between machines are compared with."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest
import yaml

from tests.sites import table
from tests.sites.conftest import HERE, HOSPITALS, ROUND_STUDY
from tests.support.site import Site

pytestmark = [*HERE, pytest.mark.spu, pytest.mark.timeout(900)]

ROUNDS = 3


def test_the_study_runs_on_one_machine_too() -> None:
    table.begin()
    # Not pytest's own folder: its name is too long for the process manager's socket.
    with tempfile.TemporaryDirectory(prefix="wardround-") as folder:
        studies = Path(folder) / "studies"
        studies.mkdir()
        (studies / "small.yaml").write_text(yaml.safe_dump(dict(ROUND_STUDY)))
        site = Site(Path(folder) / "home", studies)
        seconds: list[float] = []
        try:
            site.wardround("up", seconds=600)
            for number in range(1, ROUNDS + 1):
                began = time.monotonic()
                site.wardround("run", "small", seconds=600)
                seconds.append(time.monotonic() - began)
                assert site.wardround("show", str(number)).count("accepted") == len(HOSPITALS)
        finally:
            site.wardround("down", ends_with=None)
            site.manager.end_stray()
    table.write("one_machine", seconds)
