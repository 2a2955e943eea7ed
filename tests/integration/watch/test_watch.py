"""A site's watch on rounds, disk, certificates and silent sites: one notice for each thing, however often it looks."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.airflow import heard
from pipeline.airflow.heard import SiteHeard
from pipeline.domain import RoundId, RoundStatus
from pipeline.errors import Unavailable
from pipeline.host.files import write_secret
from pipeline.site import certificates
from pipeline.site.settings import HOME, Settings
from pipeline.watch import notices, watch
from pipeline.watch.metrics import Metrics
from pipeline.watch.watch import Watch
from tests.support.fixtures import checked_once
from tests.support.memory.site import MemorySite
from tests.support.receiver import Receiver, receiver
from tests.support.rounds import Play
from tests.support.sites import NORTH, Apart

__all__ = ["checked_once", "receiver"]

GIB = 1 << 30
NOW = datetime(2026, 11, 29, 21, 0, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySite]:
    made = MemorySite(tmp_path_factory.mktemp("watched") / "home")
    with made.reached():
        yield made


def roomy(_: Path) -> tuple[int, int]:
    return 100 * GIB, 50 * GIB


def look(
    settings: Settings,
    receiver: Receiver,
    now: float = NOW,
    disk: Callable[[Path], tuple[int, int]] = roomy,
    metrics: Metrics | None = None,
) -> None:
    """A look of a process that has just started."""
    write_secret(notices.addresses_file(settings), receiver.address.reveal())
    Watch(settings, metrics, disk).look(now)


def timed_out(site: MemorySite, play: Play, first: str, second: str) -> RoundId:
    """A round whose deadline passed, as the ledger sees once another one opens."""
    late = play.open(first)
    site.pass_deadline(late)
    play.open(second)
    assert site.ledger.status(late) is RoundStatus.ABORTED
    return late


def test_what_a_round_ended_with_is_told_once_and_what_was_before_the_first_look_never(
    site: MemorySite, receiver: Receiver
) -> None:
    play = site.play("watched", hospitals=["aster", "birch", "cedar", "dahlia"])
    play.round("first")
    look(site.settings, receiver)
    assert receiver.titles() == []
    running = play.open("second")
    play.hospitals(running, ["aster", "birch", "cedar"])
    look(site.settings, receiver)
    assert receiver.titles() == [], "it runs"
    play.decide(running)
    look(site.settings, receiver)
    (told,) = receiver.got
    assert told["title"] == "Wardround: " + f"absent in round {running} of study watched"
    assert told["message"].startswith("dahlia (it shared no update in time). ")
    receiver.got.clear()
    late = timed_out(site, play, "third", "fourth")
    for _ in range(2):
        look(site.settings, receiver)
    (aborted,) = receiver.got
    assert aborted["title"] == "Wardround: " + f"round {late} of study watched was aborted"
    assert "its deadline passed" in aborted["message"]


def test_a_rejected_and_a_quarantined_hospital_are_named(site: MemorySite, receiver: Receiver) -> None:
    look(site.settings, receiver)
    receiver.got.clear()
    rule = {"images_per_hospital": 6, "strikes": 1}
    play = site.play("rejecting", hospitals=["aster", "birch", "cedar", "dahlia"], rule=rule)
    running = play.committed("first")
    accepted = play.study.hospitals[:3]
    site.verified(play, running, accepted)
    play.aggregate(running)
    play.end(running)
    for _ in range(2):
        look(site.settings, receiver)
    assert receiver.titles() == [f"rejected in round {running} of study rejecting", "dahlia is in quarantine"]


def test_a_study_that_is_concluded_after_its_round_was_told_is_told_once(site: MemorySite, receiver: Receiver) -> None:
    longer = {"commit_seconds": 900, "result_seconds": 1800}
    course = {"target": {"measure": "accuracy", "value": 0.3}}
    play = site.play("concluding", hospitals=["aster", "birch", "cedar"], course=course, deadlines=longer)
    look(site.settings, receiver)
    running = play.committed("only")
    play.verify(running)
    play.aggregate(running)
    play.provider("finalise", running)
    look(site.settings, receiver)
    assert json.loads((site.settings.home / "watch.json").read_bytes())["ended"][-1] == running
    receiver.got.clear()
    play.end(running)
    for _ in range(2):
        look(site.settings, receiver)
    (told,) = receiver.got
    assert told["title"] == "Wardround: study concluding is concluded"
    assert told["message"].startswith(
        f"With round {running}: the lower end of the 95 % interval of its accuracy reached the target of 30 %."
    )


def test_what_was_concluded_before_the_watch_knew_of_conclusions_is_not_told(
    site: MemorySite, receiver: Receiver
) -> None:
    look(site.settings, receiver)
    file = site.settings.home / "watch.json"
    kept = json.loads(file.read_bytes())
    assert kept.pop("concluded")
    file.write_text(json.dumps(kept))
    receiver.got.clear()
    look(site.settings, receiver)
    assert receiver.titles() == []


@pytest.mark.parametrize("part", ["the disk", "metrics of rounds", "metrics of transactions"])
def test_no_part_that_fails_costs_another_one_s_notices(
    site: MemorySite, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def broken(*_: object) -> tuple[int, int]:
        raise OSError(5, "input/output error")

    play = site.play(f"costs-{part[-4:]}", hospitals=["aster", "birch", "cedar"])
    look(site.settings, receiver)
    late = timed_out(site, play, "first", "second")
    receiver.got.clear()
    write_secret(notices.addresses_file(site.settings), receiver.address.reveal())
    watching = Watch(site.settings, Metrics.of(site.settings), broken if part == "the disk" else roomy)
    with monkeypatch.context() as patch:
        if part == "the disk":
            with pytest.raises(OSError, match="input/output error"):
                watching.look(NOW)
        else:
            owner, name = (Metrics, "last") if part == "metrics of rounds" else (watch.transactions, "all_waiting")
            patch.setattr(owner, name, broken)
            watching.look(NOW)
    assert receiver.titles() == [f"round {late} of study {play.study.name} was aborted"]
    look(site.settings, receiver)
    assert receiver.titles() == []


def test_nobody_lists_the_store_where_nobody_asked_for_metrics(
    site: MemorySite, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[object] = []
    usage = watch.usage
    monkeypatch.setattr(watch, "usage", lambda *asked: listed.append(asked) or usage(*asked))
    look(site.settings, receiver)
    assert not listed
    look(site.settings, receiver, metrics=Metrics.of(site.settings))
    assert len(listed) == 1


def test_a_damaged_memory_is_named_and_begun_anew(
    site: MemorySite, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    file = site.settings.home / "watch.json"
    for damaged in (b"", b'{"ended": [1, 2', b'{"ended": 7}', b'{"waiting": [{"title": "x"}]}', b"[]"):
        file.write_bytes(damaged)
        caplog.clear()
        look(site.settings, receiver)
        assert f"{file}: got a damaged file" in caplog.text
        assert json.loads(file.read_bytes())["ended"]
    assert receiver.titles() == [], "of what was before it tells nothing"


def test_a_site_that_cannot_be_read_ends_the_watch_by_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    apart = Apart(tmp_path)
    apart.init(NORTH)
    settings = apart.settings(NORTH.queue)
    settings.site.write_text("role: nobody\n")
    monkeypatch.setenv(HOME, str(settings.home))
    monkeypatch.setattr(watch, "SECONDS", 0)
    monkeypatch.setattr(watch.log, "begin", lambda _: None)
    assert watch.main([]) == 1
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert str(settings.site) in line.getMessage()
    assert line.exc_info is None


def test_a_service_that_does_not_answer_is_told_after_ten_minutes_and_stops_nothing(
    site: MemorySite, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(site.settings, receiver)
    receiver.got.clear()

    def down(*_: object) -> None:
        raise Unavailable("no ledger")

    with monkeypatch.context() as patch:
        patch.setattr(watch.Ledger, "connect", down)
        for minutes in (1, 5, 10):
            look(site.settings, receiver, NOW + 60 * minutes)
        assert receiver.titles() == []
        for minutes in (12, 13):
            look(site.settings, receiver, NOW + 60 * minutes)
        assert receiver.titles() == ["the provider is silent"]
    look(site.settings, receiver, NOW + 60 * 14)
    assert json.loads((site.settings.home / "watch.json").read_bytes())["standing"] == []


def test_a_disk_is_low_once_until_there_is_room_again(site: MemorySite, receiver: Receiver) -> None:
    for free in (50 * GIB, 1 * GIB, GIB // 2, 1 * GIB):
        look(site.settings, receiver, disk=lambda _, free=free: (100 * GIB, free))
    assert receiver.titles() == ["disk low"]
    look(site.settings, receiver)
    look(site.settings, receiver, disk=lambda _: (10 * GIB, 1 * GIB))
    assert receiver.titles() == []
    look(site.settings, receiver, disk=lambda _: (10 * GIB, GIB // 3))
    assert receiver.titles() == ["disk low"]


def test_what_nobody_took_is_sent_again_for_a_day(site: MemorySite, receiver: Receiver) -> None:
    look(site.settings, receiver)
    receiver.answer = 500
    look(site.settings, receiver, disk=lambda _: (100 * GIB, 0))
    receiver.answer = 200
    receiver.got.clear()
    look(site.settings, receiver, NOW + 60)
    assert receiver.titles() == ["disk low"]
    receiver.answer = 500
    look(site.settings, receiver, NOW, disk=lambda _: (100 * GIB, 0))
    look(site.settings, receiver, NOW + 86_401)
    receiver.answer = 200
    receiver.got.clear()
    look(site.settings, receiver, NOW + 86_460)
    assert receiver.titles() == []


def test_a_certificate_near_its_end_is_named_by_its_file(tmp_path: Path, receiver: Receiver) -> None:
    apart = Apart(tmp_path)
    apart.init(NORTH)
    settings = apart.settings(NORTH.queue)
    look(settings, receiver, NOW)
    assert receiver.titles() == []
    near = (datetime.now(UTC) + timedelta(days=365 * certificates.YEARS - 30)).timestamp()
    for _ in range(2):
        look(settings, receiver, near)
    assert [got["title"] for got in receiver.got if "certificate" in got["title"]] == ["Wardround: a certificate ends"]
    assert "nodes/north/tls/cert.pem is good until" in receiver.got[0]["message"]


def test_the_provider_is_told_of_a_silent_site_once_each_time(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Apart.made(tmp_path).provider
    last = NOW
    monkeypatch.setattr(
        heard, "all_sites", lambda _: [SiteHeard("hospital-wren", "idle", last, 0, "0.1.0", None, None)]
    )
    for seconds in (10, 130, 190):
        look(settings, receiver, NOW + seconds)
    assert receiver.titles() == ["hospital-wren is silent"]
    last = NOW + 240
    look(settings, receiver, NOW + 250)
    assert receiver.titles() == []
    look(settings, receiver, NOW + 370)
    assert receiver.titles() == ["hospital-wren is silent"]
