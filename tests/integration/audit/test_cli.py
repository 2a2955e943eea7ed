"""`wardround rounds`, `show` and `audit` on a real chain and store, with the auditor's credentials alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from pipeline.cli import audit as commands
from pipeline.cli import proof
from pipeline.site.identity import StoreCredentials
from pipeline.site.installation import Installation
from pipeline.store import object_keys, policies
from tests.support.chains import CHAIN_ID
from tests.support.finished_rounds import consortium

from .conftest import Rounds

pytestmark = [pytest.mark.minio, pytest.mark.anvil]

AUDITOR = StoreCredentials.generate("auditor-at-a-terminal")

app = typer.Typer()
for command in (commands.rounds, commands.show, commands.audit, proof.report):
    app.command()(command)


@pytest.fixture
def home(finished: Rounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an auditor has: addresses, the list of members, credentials to read."""
    finished.server.administrator.admit(AUDITOR, policies.auditor())
    AUDITOR.save(tmp_path / "auditor" / "store-credentials.json")
    Installation(store=finished.server.endpoint, rpc=finished.driver.url, airflow="http://127.0.0.1:1").save(
        tmp_path / "installation.yaml"
    )
    consortium(finished.maker.of, CHAIN_ID, finished.driver.ledger.contract).save(tmp_path / "consortium.yaml")
    monkeypatch.setenv("WARDROUND_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    # The module's console took the width of whatever imported it first.
    monkeypatch.setattr("pipeline.cli.audit._console", Console(highlight=False, soft_wrap=True, width=200))


def wardround(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def test_the_list_of_rounds_is_json_for_programs_and_a_table_for_people(home: Path) -> None:
    listed = json.loads(wardround("rounds", "--json").stdout)
    assert [(item["round"], item["status"]) for item in listed[:2]] == [(1, "finalised"), (2, "finalised")]
    assert listed[1]["verdicts"]["hillside"] == "absent"
    assert "66.7%" in wardround("rounds").stdout


def test_the_page_of_a_round_is_written_by_whoever_may_read(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "round.html"
    assert wardround("report", "2", "-o", str(out)).exit_code == 0
    page = out.read_text()
    assert "wisconsin: round 2" in page
    assert "hospitals accepted" in page


def test_a_round_is_shown_with_its_evidence(home: Path) -> None:
    shown = wardround("show", "2").stdout
    for said in ("southmoor", "rejected", "its records failed the data contract", "2 of 3 nodes", "development chain"):
        assert said in shown
    assert json.loads(wardround("show", "2", "--json").stdout)["hospitals"][4]["reason"] == "invalid_data"


def test_an_audit_that_holds_ends_with_zero(home: Path) -> None:
    ended = wardround("audit", "2")
    assert ended.exit_code == 0
    assert "Round 2 holds" in ended.stdout
    assert json.loads(wardround("audit", "2", "--json").stdout)["passed"] is True


def test_an_audit_that_does_not_hold_ends_with_one_and_names_the_object(home: Path, finished: Rounds) -> None:
    key = object_keys.model().key(finished.maker.current)
    (path,) = (finished.server.folder / object_keys.MODELS / key).rglob("xl.meta")
    before = path.read_bytes()
    path.write_bytes(before[:-20] + bytes([before[-20] ^ 1]) + before[-19:])
    try:
        ended = wardround("audit", "2")
    finally:
        path.write_bytes(before)
    assert ended.exit_code == 1
    assert f"FIRST PROBLEM: model: models/{key}" in ended.stdout


def test_all_rounds_are_audited_at_once_by_several_processes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cli.sweep._FEW", 1)
    ended = wardround("audit", "--all")
    assert ended.exit_code == 0
    assert "2 of 2 rounds hold" in ended.stdout


def test_an_audit_of_all_rounds_names_each_that_does_not_hold(home: Path, finished: Rounds) -> None:
    key = object_keys.model().key(finished.maker.current)
    (path,) = (finished.server.folder / object_keys.MODELS / key).rglob("xl.meta")
    before = path.read_bytes()
    path.write_bytes(before[:-20] + bytes([before[-20] ^ 1]) + before[-19:])
    try:
        ended = wardround("audit", "--all")
        said = json.loads(wardround("audit", "--all", "--json").stdout)
    finally:
        path.write_bytes(before)
    assert ended.exit_code == 1
    assert "1 of 2 rounds hold" in ended.stdout
    assert f"models/{key}" in ended.stdout
    assert (said["rounds"], said["passed"], [report["round"] for report in said["failed"]]) == (2, False, [2])


@pytest.mark.parametrize("arguments", [(), ("2", "--all")])
def test_an_audit_wants_a_round_or_all(arguments: tuple[str, ...]) -> None:
    ended = wardround("audit", *arguments)
    assert ended.exit_code == 2
    assert "want the number of a round, or --all" in ended.output


def test_a_round_that_the_ledger_does_not_know_does_not_hold(home: Path) -> None:
    ended = wardround("audit", "77")
    assert ended.exit_code == 1
    assert "FIRST PROBLEM: ledger: round 77" in ended.stdout
