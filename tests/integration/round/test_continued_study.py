"""A study that goes on from another one's model with other members, with every service, and its replay."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from pipeline.cli import commands
from pipeline.domain import RoundId
from pipeline.setup import ledger
from pipeline.study.study import Study
from tests.support.consortia import HOSPITALS, NODES, Site
from tests.support.rounds import Play

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.spu, pytest.mark.timeout(600)]


def test_a_version_with_another_hospital_and_node_goes_on_from_the_model_and_is_played_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    north, east, _, south = NODES
    monkeypatch.setenv("WARDROUND_HOME", str(site.settings.home))
    monkeypatch.setenv("WARDROUND_STUDIES", str(site.settings.studies))
    old = site.play("version_1")
    first = old.round()
    old.provider("record", first)

    asked = ["study", "continue", "version_1", "version_2", "--with", HOSPITALS[5], "--without", HOSPITALS[0]]
    done = CliRunner().invoke(commands, [*asked, "--fields", f"nodes: [{north}, {east}, {south}]"])
    assert done.exit_code == 0, done.exception
    assert f"goes on from the model of round {first} of version_1" in done.output
    study = Study.load(site.settings.studies / "version_2.yaml")
    ledger.register_studies(site.settings, site.services, site.members, {"version_2": study})
    site.approve(study)
    play = Play("version_2", site.settings)
    round_id = play.round()
    play.provider("record", round_id)

    assert site.record(round_id)["previous_model"] == site.record(first)["new_model"]
    assert site.record(round_id)["budget"] == site.record(first)["next_budget"]
    report = (site.settings.records / "rounds" / str(round_id) / "report.html").read_text()
    assert site.record(first)["new_model"] in report.partition("<h2>Lineage</h2>")[2]
    site.audits(first)
    site.audits(round_id)
    assert _played_again(site, round_id) == {
        "round": round_id,
        "model_sha256": site.record(round_id)["new_model"],
        "equal": True,
    }


def _played_again(site: Site, round_id: RoundId) -> object:
    """What `dvc repro` comes to on a recorded round."""
    path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    for command in (["git", "checkout", "-q", f"round-{round_id}"], ["dvc", "repro"]):
        done = subprocess.run(
            command,
            cwd=site.settings.records,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((site.settings.records / "reproduction" / "outcome.json").read_text())
