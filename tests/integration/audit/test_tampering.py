"""`audit` on a real chain and a real store.

What is written over is a finding, what the disk lost fails, each by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.audit.audit_round import audit
from pipeline.domain import HospitalName, Kind, NodeName, RoundId
from pipeline.host import ports
from pipeline.store import object_keys
from pipeline.store.object_keys import KeyPrefix
from pipeline.store.objects import Store
from tests.adversary import attack
from tests.support.minio import ROOT

from .conftest import Rounds

pytestmark = [pytest.mark.minio, pytest.mark.anvil]

LAST = RoundId(2)
STORED = ["model", "manifest", "vote", "record", "commit list", "validation"]


def key_of(rounds: Rounds, what: str) -> tuple[str, str]:
    if what == "model":
        return object_keys.MODELS, object_keys.model().key(rounds.maker.current)
    place: KeyPrefix = {
        "manifest": object_keys.statement(LAST, Kind.MANIFEST, HospitalName("westbrook")),
        "vote": object_keys.statement(LAST, Kind.VOTE, NodeName("cedar")),
        "record": object_keys.record(LAST),
        "commit list": object_keys.commit(LAST),
        "validation": object_keys.statement(LAST, Kind.VALIDATION, HospitalName("westbrook")),
    }[what]
    (info,) = rounds.auditor.list(place.bucket, place.prefix)
    return place.bucket, info.key


def write_over(store: Store, bucket: str, key: str, data: bytes) -> None:
    """What an operator with root credentials can do: a newer version."""
    store._client.put_object(Bucket=bucket, Key=key, Body=data)


@dataclass(frozen=True)
class Disk:
    """Where the store keeps an object: all its versions in one file."""

    rounds: Rounds
    touched: dict[Path, bytes] = field(default_factory=dict)

    def file(self, bucket: str, key: str) -> Path:
        (path,) = (self.rounds.server.folder / bucket / key).rglob("xl.meta")
        self.touched.setdefault(path, path.read_bytes())
        return path


@pytest.fixture
def disk(finished: Rounds) -> Iterator[Disk]:
    """The store's disk, put back as it was after the test."""
    used = Disk(finished)
    yield used
    for path, before in used.touched.items():
        path.write_bytes(before)
    assert finished.audit(LAST).first_problem is None


def test_honest_rounds_pass_for_an_auditor_who_may_only_read(finished: Rounds) -> None:
    for number in (1, 2):
        report = finished.audit(number)
        assert report.first_problem is None
        assert report.passed


@pytest.mark.parametrize("what", STORED)
def test_a_newer_version_spoils_nothing_and_is_a_finding_that_names_it(finished: Rounds, disk: Disk, what: str) -> None:
    bucket, key = key_of(finished, what)
    disk.file(bucket, key)
    store = finished.server.as_root()
    data = bytearray(store.get(bucket, key, object_keys.key_digest(key)))
    data[len(data) // 2] ^= 1
    write_over(store, bucket, key, bytes(data))
    report = finished.audit(LAST)
    assert report.first_problem is None
    (finding,) = report.findings
    assert finding.startswith(f"{bucket}/{key}: got 2 versions")
    assert "or the store's operator wrote it" in finding


@pytest.mark.parametrize("where", ["content", "head"])
@pytest.mark.parametrize("what", STORED)
@attack(
    by="store_operator",
    to="change",
    tries="to change what a finished round stands on, on the disk",
    costs="nothing",
    seen="the object, as the audit's first problem",
)
def test_one_changed_byte_on_the_disk_is_the_first_problem_and_named(
    finished: Rounds, disk: Disk, what: str, where: str
) -> None:
    bucket, key = key_of(finished, what)
    path = disk.file(bucket, key)
    stored = bytearray(path.read_bytes())
    stored[-20 if where == "content" else len(stored) // 8] ^= 1
    path.write_bytes(stored)
    problem = str(finished.audit(LAST).first_problem)
    # Where the head is damaged the store no longer lists the object: what the ledger does not name is missed in its
    # place.
    assert any(name in problem for name in (f"{bucket}/{key}", f"{bucket}/{key.rpartition('/')[0]}/")), problem


@attack(
    by="store_operator",
    to="stop",
    tries="to remove a vote from the disk",
    costs="the round's audit, which no longer holds",
    seen="the object that is missing, by its place",
)
def test_an_object_removed_from_the_disk_is_missed(finished: Rounds, disk: Disk) -> None:
    bucket, key = key_of(finished, "vote")
    disk.file(bucket, key).unlink()
    assert f"{bucket}/{key.rpartition('/')[0]}/" in str(finished.audit(LAST).first_problem)


def test_an_audit_without_the_store_fails_and_says_so(finished: Rounds) -> None:
    unreachable = Store(f"http://127.0.0.1:{ports.choose()}", ROOT)
    report = audit(LAST, finished.driver.ledger, unreachable)
    assert not report.passed
    assert "is the store up?" in str(report.first_problem)
