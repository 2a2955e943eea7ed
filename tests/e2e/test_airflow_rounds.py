"""Rounds through a real Airflow, from the command line, and what everybody can read of them afterwards."""

from __future__ import annotations

import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from pipeline.datasets.records import records_folder
from pipeline.domain import RoundStatus
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.store import object_keys
from pipeline.store.objects import Store
from tests.support.promises import LISTED_ROUND
from tests.support.site import Site, until

from .conftest import HOSPITALS

pytestmark = [pytest.mark.airflow, pytest.mark.store, pytest.mark.anvil, pytest.mark.spu, pytest.mark.timeout(900)]

FLIPS = "elm"
HAS_NO_BENIGN = "dahlia"


@dataclass(frozen=True)
class Watched:
    """What there was to see of three rounds: two asked for by a command, one by another that left in its middle."""

    said: str
    """By the command."""
    other: str
    """By the one that left."""
    code: int
    """With which it did."""
    states: list[list[str]]
    """Of the runs, whenever one changed."""


@pytest.fixture(scope="module")
def watched(site: Site) -> Watched:
    """Three rounds; before the last one opens, one hospital's records cease to fit the contract."""
    records = records_folder(site.settings.hospital(HAS_NO_BENIGN), "breast_cancer") / "records.csv"
    before = records.read_text()
    states: list[list[str]] = []
    with ThreadPoolExecutor(1) as pool, site.following("run", "small") as other:
        until(lambda: site.runs("small"), 60)
        command = pool.submit(site.wardround, "run", "small", "--rounds", "2", seconds=400)
        try:
            while not command.done():
                now = sorted(site.runs("small").values())
                if now not in states[-1:]:
                    states.append(now)
                if "round 1 of 1: " in other.said() and other.process.returncode is None:
                    other.process.send_signal(signal.SIGINT)
                    other.process.wait(30)
                if [state.status for state in site.rounds("small")[1:]] == [RoundStatus.COMMITTED]:
                    records.write_text(
                        "".join(
                            line for line in before.splitlines(keepends=True) if not line.rstrip().endswith(",benign")
                        )
                    )
                time.sleep(0.5)
        finally:
            records.write_text(before)
        return Watched(command.result(), other.said(), other.process.returncode, states)


@pytest.fixture(scope="module")
def listed(site: Site, watched: Watched) -> list[dict[str, Any]]:
    """`wardround rounds --json` after them."""
    found: list[dict[str, Any]] = site.json("rounds")
    return found


def test_rounds_end_and_a_log_of_them_is_plain_text(watched: Watched) -> None:
    assert "round 1 of 2: verify" in watched.said
    assert watched.said.splitlines()[-1] == "round 2 of 2: finished"
    assert "\x1b" not in watched.said
    assert "\r" not in watched.said


def test_an_interrupt_leaves_the_round_which_ends_by_itself(watched: Watched) -> None:
    assert watched.code == 130
    assert "goes on without this terminal and ends by itself: `wardround rounds`" in watched.other
    assert "Traceback" not in watched.other
    assert watched.states[-1] == ["success"] * 3


def test_of_rounds_triggered_at_once_one_runs_and_the_others_wait(watched: Watched) -> None:
    assert watched.states[-1] == ["success"] * 3
    assert all(now.count("running") <= 1 for now in watched.states), "two ran at the same time"
    assert ["queued", "running"] in watched.states


def test_the_list_of_rounds_has_the_promised_form_oldest_first(listed: list[dict[str, Any]]) -> None:
    assert [item["round"] for item in listed] == [1, 2, 3]
    for item in listed:
        assert set(item) == set(LISTED_ROUND)
        assert item["concluded"] is None
        assert (item["study"], item["status"], item["engine"], item["protocol"]) == (
            "small",
            "finalised",
            "spu",
            "aby3",
        )
        assert len(bytes.fromhex(item["model_sha256"])) == 32
        assert len(bytes.fromhex(item["tx"].removeprefix("0x"))) == 32
        assert item["seconds"].keys() >= {"validate", "train", "share", "verify", "aggregate", "finalise", "confirm"}
        assert all(seconds > 0 for seconds in item["seconds"].values())
        assert 0.5 < item["accuracy"] <= 1
        assert item["trouble"] is None


def test_the_hospital_that_flips_its_labels_is_rejected_and_nobody_else(listed: list[dict[str, Any]]) -> None:
    wanted = {name: "rejected" if name == FLIPS else "accepted" for name in HOSPITALS}
    assert [item["verdicts"] for item in listed[:2]] == [wanted, wanted]


def test_each_round_goes_on_from_the_model_before(site: Site, listed: list[dict[str, Any]]) -> None:
    states = site.rounds("small")
    models = [item["model_sha256"] for item in listed]
    assert [state.opened.previous_model for state in states[1:]] == models[:2]
    assert states[0].opened.previous_model not in models
    assert site.current_model("small") == models[2]


def test_a_round_is_shown_and_audited(site: Site, listed: list[dict[str, Any]]) -> None:
    number = str(listed[1]["round"])
    shown = site.wardround("show", number)
    assert listed[1]["model_sha256"] in shown
    assert "development chain" in shown
    assert f"Round {number} holds" in site.says("audit", number)
    assert site.json("audit", number)["passed"] is True
    site.audit_all()


def test_a_finished_round_lies_in_the_study_repository_and_its_model_in_the_remote(
    site: Site, listed: list[dict[str, Any]]
) -> None:
    records = site.settings.records
    provider = Identity.load(site.settings.provider)
    tags = subprocess.run(["git", "tag"], cwd=records, capture_output=True, text=True, check=True).stdout.split()
    assert tags == ["round-1", "round-2", "round-3"]
    for name in ("record.json", "report.html", "report.json", "verdicts.csv", "history.png"):
        assert (records / "rounds" / "2" / name).stat().st_size > 100
    store = Store(Installation.load(site.settings.installation).store, provider.credentials)
    kept = {info.key for info in store.list(object_keys.DVC, "")}
    for pointer in (records / "models").glob("*.dvc"):
        digest = pointer.read_text().partition("md5: ")[2].split()[0]
        assert any(key.endswith(f"{digest[:2]}/{digest[2:]}") for key in kept), f"{pointer.name} is not in the remote"
    assert {item["model_sha256"] for item in listed} <= {
        pointer.name.split(".")[0] for pointer in (records / "models").glob("*.dvc")
    }


def test_an_owner_reads_a_study_and_consents_to_its_digest(site: Site) -> None:
    digest = site.says("study", "digest", "small").strip()
    shown = site.says("study", "show", "small")
    assert digest in shown
    assert "birch: approved" in shown
    (site.settings.hospital("birch") / "approvals" / f"{digest}.json").unlink()
    assert "birch: not approved" in site.says("study", "show", "small")
    assert f"birch approved small with digest {digest}" in site.says("study", "approve", "small", "--as", "birch")
    assert "birch: approved" in site.says("study", "show", "small")


def test_a_hospital_whose_records_fail_the_contract_is_absent_and_the_failed_expectation_named(
    site: Site, listed: list[dict[str, Any]]
) -> None:
    number = str(listed[2]["round"])
    shown = site.json("show", number)
    assert shown["verdicts"] == {
        name: {FLIPS: "rejected", HAS_NO_BENIGN: "absent"}.get(name, "accepted") for name in HOSPITALS
    }
    (row,) = [row for row in shown["hospitals"] if row["name"] == HAS_NO_BENIGN]
    assert (row["reason"], row["validated"]) == ("invalid_data", False)
    assert any("benign" in expectation for expectation in row["failed"])
    assert row["failed"][0] in site.wardround("show", number)  # a process reads anew how wide its terminal is
