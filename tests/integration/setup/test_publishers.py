"""Data sets from their publishers, who answer well, badly or not at all.

Whole files with the published hash come in, or nothing does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.progress import Progress

from pipeline.datasets import DATASETS, publishers
from pipeline.errors import Unavailable
from pipeline.host import ports, transfer
from tests.support.heart import HOSPITALS
from tests.support.publisher import IMAGES, Publisher, publish, publisher

BOTH = ("heart_disease", "pneumonia")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("published") / "data")


@pytest.fixture
def server(files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    with publisher(files) as served:
        monkeypatch.setattr(publishers, "PUBLISHED", served.published())
        monkeypatch.setattr(transfer, "SILENT_SECONDS", 0.5)
        yield served


def fetch(folder: Path) -> None:
    publishers.fetch(BOTH, folder, Progress(disable=True))


def left(folder: Path) -> list[str]:
    """What lies below a folder, but for locks."""
    return sorted(path.name for path in folder.rglob("*") if path.suffix != ".lock")


@pytest.mark.parametrize("manner", ["whole", "broken once"])
def test_what_a_publisher_serves_whole_is_there_afterwards_and_asked_for_no_more(
    server: Publisher, manner: str, tmp_path: Path
) -> None:
    server.manner = manner
    fetch(tmp_path)
    assert [len(part) for part in DATASETS["pneumonia"].load([tmp_path])] == [
        IMAGES["train"] + IMAGES["val"],
        IMAGES["test"],
    ]
    assert sum(map(len, DATASETS["heart_disease"].load([tmp_path]))) == sum(
        patients for patients, *_ in HOSPITALS.values()
    )
    asked = server.asked.copy()
    assert set(asked.values()) == {1 if manner == "whole" else 2}
    fetch(tmp_path)
    assert server.asked == asked


@pytest.mark.parametrize(
    ("manner", "says", "tries"),
    [
        ("truncated", r"peer closed connection .*received \d+ bytes, expected \d+\)", 2),
        ("wrong", r"got other bytes than those with the published hash", 2),
        ("missing", r"status 404", 2),
        ("hanging", r"timed out", 2),
        ("dripping", r"not whole after 2 s", 1),
    ],
)
def test_nothing_stays_of_what_did_not_come_whole_and_one_sentence_says_what_to_do(
    server: Publisher, manner: str, says: str, tries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.manner = manner
    if manner == "dripping":  # each piece comes in time, so only the limit on the whole ends it
        monkeypatch.setattr(publishers, "_ALL_SECONDS", 2.0)
    each = (
        rf"processed\.cleveland\.data from 127\.0\.0\.1 \({says}\) and pneumoniamnist\.npz from 127\.0\.0\.1 \({says}\)"
    )
    with pytest.raises(Unavailable, match=rf"^could not fetch {each}; run `wardround up` again .* in WARDROUND_DATA$"):
        fetch(tmp_path)
    assert left(tmp_path) == []
    assert set(server.asked.values()) == {tries}
    server.manner = "whole"
    fetch(tmp_path)


def test_a_publisher_that_cannot_be_reached_is_named(
    server: Publisher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = f"http://{ports.LOOPBACK}:{ports.choose()}/"
    monkeypatch.setattr(server, "address", address)
    monkeypatch.setattr(publishers, "PUBLISHED", server.published())
    with pytest.raises(
        Unavailable, match=re.escape("pneumoniamnist.npz from 127.0.0.1 ([Errno 111] Connection refused)")
    ):
        fetch(tmp_path)
    assert left(tmp_path) == []


def test_a_data_set_that_came_stays_when_another_did_not(server: Publisher, files: Path, tmp_path: Path) -> None:
    hashes = {"pneumoniamnist.npz": "sha256:" + "0" * 64}
    publishers.PUBLISHED["pneumonia"].files.update(hashes)  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match=r"^could not fetch pneumoniamnist\.npz from 127\.0\.0\.1 \([^()]*\); run"):
        fetch(tmp_path)
    assert publishers.is_here("heart_disease", [tmp_path])
    assert not publishers.is_here("pneumonia", [tmp_path])


def test_a_cache_that_cannot_be_written_is_named(server: Publisher, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(Unavailable, match=r"pneumoniamnist\.npz from 127\.0\.0\.1 \(.*cache: File exists\)"):
        fetch(tmp_path / "cache")
