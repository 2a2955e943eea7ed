"""The audit of all rounds.

It finds what the audit of one does, and what it reads for a round does not grow with their number.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pytest

from pipeline.audit.audit_all import Sweep
from pipeline.audit.audit_round import AuditReport, audit
from pipeline.audit.round_objects import RoundObjects
from pipeline.audit.statement_archive import SUFFIX, pack, unpack
from pipeline.domain import HospitalName, Kind, NodeName, RoundId, RoundStatus, Sha256
from pipeline.evidence.canonical import canonical_json, sha256
from pipeline.store import object_keys
from pipeline.store.objects import ObjectInfo
from tests.support.finished_rounds import DictLedger, DictStore, RoundMaker, consortium, model, study

ABORTED = RoundId(7)
LAST = RoundId(21)


class CountingStore(DictStore):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()

    def get(self, bucket: str, key: str, sha256: Sha256) -> bytes:
        self.reads["objects"] += 1
        return super().get(bucket, key, sha256)

    def history(self, bucket: str, prefix: str, most: int | None = None) -> tuple[ObjectInfo, ...]:
        self.reads["listings"] += 1
        return super().history(bucket, prefix, most)


class World:
    """Twenty finished rounds, each with its pack, an aborted one and one that has not ended."""

    def __init__(self) -> None:
        of = study()
        members = consortium(of)
        self.store = CountingStore()
        self.ledger = DictLedger(of, members)
        self.maker = RoundMaker(of, members, self.store.put, self.ledger)
        self.maker.start(model(0))
        for number in range(1, LAST + 1):
            if number == ABORTED:
                self.maker.open(ABORTED)
                self.ledger.abort(ABORTED)
            else:
                self.maker.finish(RoundId(number), rejected=["southmoor"] if number in (2, 4) else ())
                self.pack(number)
        self.maker.open(RoundId(LAST + 1))

    def pack(self, number: int, change: Any = lambda data: data) -> None:
        self.maker.post(
            object_keys.report(RoundId(number), SUFFIX), change(RoundObjects(self.store, RoundId(number)).pack())
        )

    def sweep(self) -> dict[RoundId, AuditReport]:
        found = Sweep(self.ledger, self.store)
        return {number: found.audit(number) for number in found.rounds}


@cache
def pristine() -> World:
    return World()


@pytest.fixture
def world() -> World:
    """The same rounds for every test; what it changes in the store it changes in a copy."""
    made = pristine()
    copy = World.__new__(World)
    copy.store = CountingStore()
    copy.ledger = made.ledger
    copy.store.objects = {key: list(versions) for key, versions in made.store.objects.items()}
    copy.maker = RoundMaker(made.maker.of, made.maker.members, copy.store.put, copy.ledger)
    return copy


def key_of(world: World, place: object_keys.KeyPrefix) -> str:
    (found,) = {info.key for info in world.store.history(place.bucket, place.prefix)}
    return found


def test_every_round_that_has_ended_is_audited_in_the_order_of_opening(world: World) -> None:
    reports = world.sweep()
    assert list(reports) == list(range(1, LAST + 1))
    assert reports[ABORTED].status is RoundStatus.ABORTED
    assert [report.first_problem for report in reports.values() if not report.passed] == []


def test_a_round_is_checked_as_it_is_alone(world: World) -> None:
    alone = audit(LAST, world.ledger, world.store)
    among = world.sweep()[LAST]
    assert [(check.name, check.outcome) for check in among.checks] == [
        (check.name, check.outcome) for check in alone.checks
    ]
    assert "read from the round's pack" in among.checks[-1].detail
    assert "pack" not in alone.checks[-1].detail


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_read_for_a_round_does_not_grow_with_the_number_of_rounds(world: World, packed: bool) -> None:
    spent = []
    for number in (ABORTED + 1, LAST):
        world.store.reads.clear()
        assert audit(RoundId(number), world.ledger, world.store, packed=packed).passed
        spent.append(dict(world.store.reads))
    assert spent[0] == spent[1]
    # The record, the model, the one before it with its record; a packed round's statements come in one piece.
    assert spent[0]["objects"] < (6 if packed else 40)


def test_a_damaged_model_is_found_among_all_rounds(world: World) -> None:
    result = world.ledger.states[RoundId(3)].result
    assert result is not None
    world.store.flip(object_keys.MODELS, object_keys.model().key(result.new_model))
    refused = {number: report.first_problem for number, report in world.sweep().items() if not report.passed}
    assert list(refused) == [3, 4]
    assert all(result.new_model in str(problem) for problem in refused.values())


@pytest.mark.parametrize("kind", [Kind.MANIFEST, Kind.VALIDATION, Kind.CONFIRMATION])
def test_a_pack_hides_no_newer_version_and_no_deletion(world: World, kind: Kind) -> None:
    for number, data in ((5, b"what an operator prefers"), (6, None)):
        world.store.put(
            object_keys.REPORTS,
            key_of(world, object_keys.statement(RoundId(number), kind, HospitalName("westbrook"))),
            data,
        )
    reports = world.sweep()
    assert all(report.passed for report in reports.values())
    findings = {number: report.findings for number, report in reports.items() if report.findings}
    assert list(findings) == [5, 6]
    assert all("hospitals/westbrook/" in finding for (finding,) in findings.values())


def test_an_object_that_only_a_pack_still_has_is_missed(world: World) -> None:
    del world.store.objects[
        object_keys.REPORTS, key_of(world, object_keys.statement(LAST, Kind.VOTE, NodeName("birch")))
    ]
    assert "nodes/birch/vote/" in str(world.sweep()[LAST].first_problem)


def test_a_pack_that_lies_is_not_believed_and_spoils_nothing(world: World) -> None:
    manifest = key_of(world, object_keys.statement(RoundId(8), Kind.MANIFEST, HospitalName("westbrook")))
    for lie in (
        canonical_json({manifest: "another text"}),
        b"no JSON",
        b"[1]",
        b"[" * 100_000,
        canonical_json({"a": 1}),
    ):
        world.pack(8, lambda _, lie=lie: lie)
    assert world.sweep()[RoundId(8)].first_problem is None


def test_a_pack_gives_back_the_texts_whose_keys_name_their_digests() -> None:
    key = f"rounds/1/commit/{sha256(b'{}')}.json"
    assert unpack(pack([(key, b"{}"), ("a/b.json", b"{}"), ("a/c.bin", b"\xff")])) == {key: b"{}"}
    assert unpack(canonical_json({key: "{ }"})) == {}
    assert unpack(b'{"a":"\\ud800"}') == {}
