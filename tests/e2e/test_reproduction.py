"""`dvc repro` on a finished round, as docs/how-to/reproduce-a-round.md says."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.audit.round_record import RoundRecord
from pipeline.evidence.canonical import sha256
from tests.support.site import Site

pytestmark = [pytest.mark.airflow, pytest.mark.store, pytest.mark.anvil, pytest.mark.spu, pytest.mark.timeout(600)]


def test_a_finished_round_is_reproduced_to_the_very_model_that_the_chain_holds(site: Site) -> None:
    records = site.settings.records
    state = site.rounds("small")[0]
    environment = {
        **os.environ,
        "WARDROUND_HOME": str(site.settings.home),
        "WARDROUND_STUDIES": str(site.settings.studies),
    }
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
        updates = {sha256(file.read_bytes()) for file in (records / "reproduction" / "updates").iterdir()}
        assert not updates & {
            sha256(file.read_bytes()) for file in (records / ".dvc" / "cache").rglob("*") if file.is_file()
        }
        assert do("git", "status", "--porcelain", "--untracked-files=all").splitlines() in ([], ["?? dvc.lock"])
        another_model_does_not_come_out(records, environment)
    finally:
        do("git", "checkout", "-q", "main")


def another_model_does_not_come_out(records: Path, environment: dict[str, str]) -> None:
    given = shlex.split((records / "reproduction" / "inputs" / "nodes.args").read_text())
    place = given.index("--record") + 1
    record = RoundRecord.from_bytes((records / given[place]).read_bytes())
    forged = records / "reproduction" / "forged.json"
    forged.write_bytes(record.model_copy(update={"new_model": sha256(b"another model")}).to_bytes())
    given[place] = str(forged)
    arguments = [
        "--study",
        "studies/small.yaml",
        "--updates",
        "reproduction/updates",
        "--out",
        "reproduction/forged-outcome.json",
    ]
    command = [sys.executable, "-m", "pipeline.replay.reproduce", *arguments, *given]
    ended = subprocess.run(command, cwd=records, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"reproduced model {record.new_model}, the record says {sha256(b'another model')}" in ended.stderr
    assert not (records / "reproduction" / "forged-outcome.json").exists()
