"""The console, `wardround show --json` and the ledger say the same, figure by figure."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli import commands
from pipeline.domain import RoundId
from tests.support.console import AUDITOR, PROVIDER, client, form_token
from tests.support.consortia import Site
from tests.support.figures import figures
from tests.support.rounds import Play

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.spu]


@pytest.fixture
def command(town: Site, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("WARDROUND_HOME", str(town.settings.home))
    monkeypatch.setenv("WARDROUND_STUDIES", str(town.settings.studies))
    return CliRunner()


@pytest.fixture
def shown(command: CliRunner, finished: RoundId) -> dict[str, Any]:
    done = command.invoke(commands, ["show", str(finished), "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def test_a_rounds_page_says_what_the_command_and_the_ledger_say(
    town: Site, play: Play, finished: RoundId, shown: dict[str, Any]
) -> None:
    page = client(town.settings, AUDITOR).get(f"/rounds/{finished}").text
    found = figures(page)
    verdicts = list(shown["verdicts"].values())
    assert found["status"].text == shown["status"]
    assert (found["accuracy"].value, found["accuracy"].text) == (repr(shown["accuracy"]), share(shown["accuracy"]))
    assert found["accepted"].text == f"{verdicts.count('accepted')} of {len(verdicts)}"
    assert (found["signers"].value, found["threshold"].text) == (" ".join(shown["signers"]), str(shown["threshold"]))
    assert (found["model"].text, found["previous_model"].text) == (shown["model_sha256"], shown["previous_model"])
    assert (found["tx"].text, found["block"].text) == (shown["tx"], str(shown["block"]))
    assert (found["chain"].text, found["contract"].text) == (str(shown["chain"]["id"]), shown["chain"]["contract"])
    assert found["study_digest"].text == shown["study_digest"]
    for row in shown["hospitals"]:
        of = figures(page, hospital=row["name"])
        assert of["verdict"].text == row["verdict"]
        assert of["validation"].text == {True: "passed", False: "failed", None: "–"}[row["validated"]]
        assert of["rows"].text == (row["rows"] or "–")
        assert of["accuracy"].value == repr(row["accuracy"])
        assert of["accuracy"].text == share(row["accuracy"]) + (f" of {row['tested']}" if row["tested"] else "")

    state = town.ledger.round(finished)
    assert state.finalised
    assert (shown["model_sha256"], shown["tx"]) == (state.finalised.new_model, state.finalised.location.transaction)
    assert (shown["block"], shown["time"]) == (state.finalised.location.block, state.finalised.location.time)
    assert (shown["previous_model"], shown["study_digest"]) == (state.opened.previous_model, state.opened.study_digest)
    accepted = [name for bit, name in enumerate(play.study.hospitals) if state.finalised.verdicts >> bit & 1]
    assert accepted == [name for name, verdict in shown["verdicts"].items() if verdict == "accepted"]
    assert shown["signers"] == [name for bit, name in enumerate(play.study.nodes) if state.finalised.signers >> bit & 1]


def test_lists_charts_and_the_timeline_carry_the_same_figures(
    town: Site, finished: RoundId, shown: dict[str, Any]
) -> None:
    pages = client(town.settings, PROVIDER)
    number = str(finished)
    listed = figures(pages.get(f"/rounds?study={shown['study']}").text, round=number)
    verdicts = list(shown["verdicts"].values())
    assert {name: listed[name].text for name in ("accepted", "rejected", "absent")} == {
        name: str(verdicts.count(name)) for name in ("accepted", "rejected", "absent")
    }
    assert (listed["model"].value, listed["accuracy"].value) == (shown["model_sha256"], repr(shown["accuracy"]))
    per_round = pages.get(f"/accuracy?study={shown['study']}").text
    assert f"<title>Round {number}: {share(shown['accuracy'])}</title>" in per_round
    assert {name: figures(per_round, round=number)[name].text for name in ("correct", "tested")} == {
        name: str(shown[name]) for name in ("correct", "tested")
    }
    poisoning = pages.get(f"/poisoning?study={shown['study']}&from={number}&to={number}").text
    for name, verdict in shown["verdicts"].items():
        assert figures(poisoning, round=number, hospital=name)["verdict"].text == verdict
        assert figures(poisoning, hospital=name)[verdict].text == "1"
    timeline = pages.get(f"/rounds/{number}/timeline").text
    ended = figures(timeline, step="finalised")
    assert (ended["transaction"].text, ended["block"].text) == (shown["tx"], str(shown["block"]))
    for name in ("north", "east", "west"):
        vote = figures(timeline, node=name)
        assert (vote["said"].text, vote["counted"].text) == ("this result", "yes" if name in shown["signers"] else "no")


def test_the_overview_shows_members_as_the_ledger_has_them(town: Site, finished: RoundId) -> None:
    page = client(town.settings, PROVIDER).get("/").text
    for name in town.members.hospitals:
        assert figures(page, hospital=name)["status"].text == town.ledger.hospital(town.members.hospital(name)).value
    assert figures(page, node="north")["status"].text == "counted"
    assert "Airflow: scheduler: the API does not answer" in page  # these tests run without Airflow


def test_an_audit_on_the_page_is_the_commands(town: Site, finished: RoundId, command: CliRunner) -> None:
    pages = client(town.settings, AUDITOR)
    assert pages.post(f"/rounds/{finished}/audit").status_code == 403
    page = pages.post(f"/rounds/{finished}/audit", data={"csrf_token": form_token(AUDITOR.login)}).text
    said = json.loads(command.invoke(commands, ["audit", str(finished), "--json"]).stdout)
    assert said["passed"]
    assert f"All {len(said['checks'])} checks passed." in page
    for check in said["checks"]:
        assert figures(page, check=check["name"])["outcome"].text == check["outcome"]
        assert check["detail"].split(" ")[0] in page


def test_the_proof_is_the_commands_to_the_byte(
    town: Site, finished: RoundId, command: CliRunner, tmp_path: Path
) -> None:
    answer = client(town.settings, AUDITOR).get(f"/rounds/{finished}/proof.zip")
    written = tmp_path / "proof.zip"
    assert command.invoke(commands, ["proof", str(finished), "--out", str(written)]).exit_code == 0
    assert answer.content == written.read_bytes()
    assert client(town.settings, AUDITOR).get("/rounds/999/proof.zip").status_code == 404


def test_the_model_is_the_commands_to_the_byte_and_is_known_again(
    town: Site, play: Play, finished: RoundId, command: CliRunner, tmp_path: Path
) -> None:
    console = client(town.settings, AUDITOR)
    assert "Take it out as safetensors" in console.get(f"/rounds/{finished}/model").text
    path = f"/rounds/{finished}/model/safetensors"
    assert console.post(path).status_code == 403
    answer = console.post(path, data={"csrf_token": form_token(AUDITOR.login)})
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    given = ["--format", "safetensors", "--round", str(finished), "--out", str(tmp_path / "written")]
    said = command.invoke(commands, ["model", "export", play.study.name, *given])
    assert said.exit_code == 0, said.output
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert files == {file.name: file.read_bytes() for file in (tmp_path / "written").iterdir()}
    file = str(folder / "model.safetensors")
    checked = command.invoke(commands, ["model", "verify", file, "--nodes", str(town.settings.consortium)])
    assert checked.exit_code == 0, checked.output
