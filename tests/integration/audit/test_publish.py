"""The record task on a real chain, store and repository, with no more rights than the provider has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.audit.audit_all import Sweep
from pipeline.domain import RoundId
from pipeline.errors import Refused
from pipeline.evidence.canonical import sha256
from pipeline.report.round_list import summaries
from pipeline.site.identity import StoreCredentials
from pipeline.store import policies
from pipeline.store.objects import Store
from pipeline.study_repository.publish import publish
from pipeline.study_repository.repository import Remote

from .conftest import Rounds

pytestmark = [pytest.mark.minio, pytest.mark.anvil]

DVC = Path(sys.executable).with_name("dvc")
PROVIDER = StoreCredentials.generate("publishing-provider")


@pytest.fixture(scope="module")
def published(finished: Rounds, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study repository after both rounds were recorded, the last one twice."""
    finished.server.administrator.admit(PROVIDER, policies.provider())
    store = Store(finished.server.endpoint, PROVIDER)
    records = tmp_path_factory.mktemp("home") / "records"
    remote = Remote(finished.server.endpoint, PROVIDER)
    made = [
        publish(
            RoundId(number), finished.driver.ledger, store, finished.maker.of, b"title: a study file\n", records, remote
        )
        for number in (1, 2, 2)
    ]
    assert made[1] == made[2]
    return records


def git(records: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(records), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_repository_holds_the_anchored_record_and_the_stored_report(finished: Rounds, published: Path) -> None:
    result = finished.driver.ledger.round(RoundId(2)).result
    assert result is not None
    folder = published / "rounds" / "2"
    assert sha256((folder / "record.json").read_bytes()) == result.record
    for suffix, name in (
        ("html", "report.html"),
        ("csv", "verdicts.csv"),
        ("png", "history.png"),
        ("json", "report.json"),
    ):
        (info,) = (item for item in finished.auditor.list("reports", "rounds/2/report/") if item.key.endswith(suffix))
        assert sha256((folder / name).read_bytes()) in info.key
    assert (published / "models" / f"{result.new_model}.safetensors").exists()


def test_a_rerun_adds_no_commit_and_no_object(finished: Rounds, published: Path) -> None:
    assert git(published, "log", "--format=%s").splitlines() == [
        "Round 2 of wisconsin, accuracy 66.7 %",
        "Round 1 of wisconsin, accuracy 63.9 %",
    ]
    assert len(finished.auditor.list("reports", "rounds/2/report/")) == 5


def test_a_recorded_rounds_statements_come_in_one_piece(finished: Rounds, published: Path) -> None:
    assert published.exists()
    sweep = Sweep(finished.driver.ledger, finished.auditor)
    for number in (1, 2):
        report = sweep.audit(RoundId(number))
        assert report.first_problem is None
        assert "read from the round's pack" in report.checks[-1].detail


def test_audits_pass_with_the_reports_stored(finished: Rounds, published: Path) -> None:
    assert published.exists()
    for number in (1, 2):
        assert finished.audit(number).first_problem is None


def test_an_auditor_reads_seconds_from_the_report_and_not_from_the_mailbox(finished: Rounds, published: Path) -> None:
    stored = json.loads((published / "rounds" / "2" / "report.json").read_bytes())
    (_, last) = summaries(finished.driver.ledger, finished.auditor)
    assert last.to_json()["seconds"] == stored["seconds"]
    assert last.to_json()["verdicts"]["southmoor"] == "rejected"


def test_dvc_shows_metrics_and_the_rounds_can_be_compared(published: Path) -> None:
    shown = subprocess.run(
        [DVC, "metrics", "diff", "--json", "round-1", "round-2"], cwd=published, check=True, capture_output=True
    )
    (changed,) = json.loads(shown.stdout).values()
    assert (changed["accuracy"]["old"], changed["accuracy"]["new"]) == (0.6389, 0.6667)
    assert changed["measures.classes.benign.auc.value"]["new"] > 0.7


def test_dvc_draws_the_course_the_roc_curve_and_the_reliability(published: Path, tmp_path: Path) -> None:
    subprocess.run([DVC, "plots", "show", "--out", tmp_path], cwd=published, check=True, capture_output=True)
    page = (tmp_path / "index.html").read_text()
    for drawn in ("accuracy per round", "sensitivity and false alarms", "share observed by score"):
        assert f"wisconsin, {drawn}" in page
    assert '"false_alarms": "1.0000"' in page
    assert page.count('"color": {"field": "class", "type": "nominal"}') == 2


def test_a_reproduction_reads_its_inputs_at_a_rounds_tag(published: Path) -> None:
    git(published, "checkout", "--quiet", "round-2")
    try:
        subprocess.run([DVC, "repro", "--single-item", "inputs"], cwd=published, check=True, capture_output=True)
        line = (published / "reproduction" / "inputs" / "southmoor.args").read_text()
    finally:
        git(published, "checkout", "--quiet", "main")
    assert line.endswith("--round 2 --rounds-finished 1 --budget 999999 --verdicts rejected\n")


def test_a_round_that_has_not_ended_is_not_recorded(finished: Rounds, tmp_path: Path) -> None:
    finished.maker.open(RoundId(3))
    store = Store(finished.server.endpoint, PROVIDER)
    with pytest.raises(Refused, match="the ledger says open"):
        publish(
            RoundId(3),
            finished.driver.ledger,
            store,
            finished.maker.of,
            b"",
            tmp_path / "r",
            Remote(finished.server.endpoint, PROVIDER),
        )
