"""`dvc repro` on a finished round, as docs/reproduce.md says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.site import Site

pytestmark = [pytest.mark.airflow, pytest.mark.minio, pytest.mark.anvil, pytest.mark.spu]


def test_a_finished_round_is_reproduced_to_the_very_model_that_the_chain_holds(site: Site) -> None:
    records = site.settings.records
    state = site.rounds("small")[0]
    environment = {**os.environ, "WARDROUND_HOME": str(site.settings.home), "WARDROUND_STUDIES": str(site.settings.studies)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def do(*command: str) -> str:
        done = subprocess.run(command, cwd=records, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    do("git", "checkout", "-q", f"round-{state.round}")
    try:
        do("dvc", "repro")
        outcome = json.loads((records / "reproduction" / "outcome.json").read_text())
        assert state.finalised is not None
        assert outcome == {"round": state.round, "model_sha256": state.finalised.new_model, "equal": True}
        assert do("git", "status", "--porcelain", "--untracked-files=all").splitlines() in ([], ["?? dvc.lock"])
    finally:
        do("git", "checkout", "-q", "main")
