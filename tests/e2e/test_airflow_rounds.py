"""Rounds through a real Airflow, from the command line, and what everybody can read of them afterwards."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline import places
from pipeline.datasets.records import records_folder
from pipeline.domain import RoundStatus
from pipeline.identity import Identity
from pipeline.installation import Installation
from pipeline.store.objects import Store
from tests.support.site import Site

from .conftest import HOSPITALS

pytestmark = [pytest.mark.airflow, pytest.mark.minio, pytest.mark.anvil, pytest.mark.spu]

FLIPS = "elm"
HAS_NO_BENIGN = "dahlia"


@pytest.fixture(scope="module")
def said(site: Site) -> str:
    """What `wardround run` prints for two rounds."""
    return site.wardround("run", "small", "--rounds", "2")


@pytest.fixture(scope="module")
def listed(site: Site, said: str) -> list[dict[str, Any]]:
    """`wardround rounds --json` after them."""
    found: list[dict[str, Any]] = site.json("rounds")
    return found


def test_two_rounds_end_and_a_log_of_them_is_plain_text(said: str) -> None:
    assert "round 1 of 2: verify" in said
    assert said.splitlines()[-1] == "round 2 of 2: finished"
    assert "\x1b" not in said
    assert "\r" not in said


def test_the_list_of_rounds_has_the_promised_form_oldest_first(listed: list[dict[str, Any]]) -> None:
    assert [item["round"] for item in listed] == [1, 2]
    for item in listed:
        assert set(item) == {
            *("round", "study", "status", "engine", "protocol", "verdicts", "model_sha256", "tx", "seconds", "accuracy"),
        }
        assert (item["study"], item["status"], item["engine"], item["protocol"]) == ("small", "finalised", "spu", "aby3")
        assert len(bytes.fromhex(item["model_sha256"])) == 32
        assert len(bytes.fromhex(item["tx"].removeprefix("0x"))) == 32
        assert item["seconds"].keys() >= {"validate", "train", "share", "verify", "aggregate", "finalise", "confirm"}
        assert all(seconds > 0 for seconds in item["seconds"].values())
        assert 0.5 < item["accuracy"] <= 1


def test_the_hospital_that_flips_its_labels_is_rejected_and_nobody_else(listed: list[dict[str, Any]]) -> None:
    wanted = {name: "rejected" if name == FLIPS else "accepted" for name in HOSPITALS}
    assert [item["verdicts"] for item in listed] == [wanted, wanted]


def test_each_round_goes_on_from_the_model_before(site: Site, listed: list[dict[str, Any]]) -> None:
    first, second = site.rounds("small")[:2]
    assert second.opened.previous_model == listed[0]["model_sha256"]
    assert first.opened.previous_model != second.opened.previous_model
    assert site.current_model("small") == listed[1]["model_sha256"]


def test_a_round_is_shown_and_audited(site: Site, listed: list[dict[str, Any]]) -> None:
    for item in listed:
        number = str(item["round"])
        shown = site.wardround("show", number)
        assert item["model_sha256"] in shown
        assert "development chain" in shown
        assert f"Round {number} holds" in site.wardround("audit", number)
        assert site.json("audit", number)["passed"] is True


def test_a_finished_round_lies_in_the_study_repository_and_its_model_in_the_remote(site: Site, listed: list[dict[str, Any]]) -> None:
    records, provider = site.settings.records, Identity.load(site.settings.provider)
    tags = subprocess.run(["git", "tag"], cwd=records, capture_output=True, text=True, check=True).stdout.split()
    assert tags == ["round-1", "round-2"]
    for name in ("record.json", "report.html", "report.json", "verdicts.csv", "course.png"):
        assert (records / "rounds" / "2" / name).stat().st_size > 100
    store = Store(Installation.load(site.settings.installation).store, provider.credentials)
    kept = {info.key for info in store.list(places.DVC, "")}
    for pointer in (records / "models").glob("*.dvc"):
        digest = pointer.read_text().partition("md5: ")[2].split()[0]
        assert any(key.endswith(f"{digest[:2]}/{digest[2:]}") for key in kept), f"{pointer.name} is not in the remote"
    assert {item["model_sha256"] for item in listed} <= {pointer.name.split(".")[0] for pointer in (records / "models").glob("*.dvc")}


def test_an_owner_reads_a_study_and_consents_to_its_digest(site: Site) -> None:
    digest = site.wardround("study", "digest", "small").strip()
    shown = site.wardround("study", "show", "small")
    assert digest in shown
    assert "birch: approved" in shown
    (site.settings.hospital("birch") / "approvals" / f"{digest}.json").unlink()
    assert "birch: not approved" in site.wardround("study", "show", "small")
    assert f"birch approved small with digest {digest}" in site.wardround("study", "approve", "small", "--as", "birch")
    assert "birch: approved" in site.wardround("study", "show", "small")


@pytest.fixture(scope="module")
def at_once(site: Site, listed: list[dict[str, Any]]) -> Iterator[tuple[list[str], list[set[str]]]]:
    """Two runs triggered at once while one hospital's records fail the contract: how they ended, and their states meanwhile."""
    records = records_folder(site.settings.hospital(HAS_NO_BENIGN), "breast_cancer") / "records.csv"
    before = records.read_text()
    records.write_text("".join(line for line in before.splitlines(keepends=True) if not line.rstrip().endswith(",benign")))
    try:
        runs = [site.trigger("small"), site.trigger("small")]
        seen: list[set[str]] = []
        while not seen or not all(state in ("success", "failed") for state in seen[-1]):
            states = {site.run_state(run) for run in runs}
            if not seen or states != seen[-1]:
                seen.append(states)
        yield [site.run_state(run) for run in runs], seen
    finally:
        records.write_text(before)


def test_of_two_rounds_triggered_at_once_one_waits_and_goes_on_from_the_other(
    site: Site, at_once: tuple[list[str], list[set[str]]]
) -> None:
    ended, seen = at_once
    assert ended == ["success", "success"]
    assert {"running"} not in seen, "both ran at the same time"
    assert {"running", "queued"} in seen
    third, fourth = site.rounds("small")[2:4]
    assert third.finalised is not None
    assert fourth.opened.previous_model == third.finalised.new_model
    assert fourth.status is RoundStatus.FINALISED


def test_a_hospital_whose_records_fail_the_contract_is_absent_and_the_failed_expectation_named(
    site: Site, at_once: tuple[list[str], list[set[str]]]
) -> None:
    for number in (state.round for state in site.rounds("small")[2:4]):
        shown = site.json("show", str(number))
        assert shown["verdicts"] == {name: {FLIPS: "rejected", HAS_NO_BENIGN: "absent"}.get(name, "accepted") for name in HOSPITALS}
        (row,) = [row for row in shown["hospitals"] if row["name"] == HAS_NO_BENIGN]
        assert (row["reason"], row["validated"]) == ("invalid_data", False)
        assert any("benign" in expectation for expectation in row["failed"])
        assert row["failed"][0] in site.wardround("show", str(number))
    site.audit_all()
