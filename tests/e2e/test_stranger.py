"""The two commands on a machine that has never heard of us, without a network and with a good or bad publisher."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets.publishers import PUBLISHED
from tests.support.clones import roomy_folder
from tests.support.publisher import publish, publisher
from tests.support.stranger import Stranger

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.store,
    pytest.mark.namespace,
    pytest.mark.anvil,
    pytest.mark.spu,
    pytest.mark.timeout(2400),
]

DOWN = ".venv/bin/wardround down"


@dataclass(frozen=True)
class Demonstration:
    """What `make demo` said, and what the ledger held afterwards."""

    stranger: Stranger
    said: str
    rounds: list[dict[str, Any]]


@pytest.fixture(scope="module")
def demonstration() -> Iterator[Demonstration]:
    """`make setup` with a network, `make demo` without one."""
    with roomy_folder() as folder:
        stranger = Stranger(folder)
        stranger.run("make setup", seconds=600)
        try:
            # Services that are alone are reached by nobody who is not.
            said = stranger.run(
                f"trap '{DOWN}' EXIT; make demo && .venv/bin/wardround rounds --json >rounds.json", alone=True
            )
            yield Demonstration(stranger, said, json.loads((stranger.clone / "rounds.json").read_text()))
        finally:
            stranger.run(DOWN)


def test_the_first_command_tells_the_whole_story_without_a_network(demonstration: Demonstration) -> None:
    assert "Demonstration with breast_cancer: study pneumonia: got no records" in demonstration.said
    assert [(row["study"], row["status"]) for row in demonstration.rounds] == [("breast_cancer", "finalised")] * 3
    honest = dict.fromkeys(("aster", "birch", "cedar", "dahlia"), "accepted")
    assert [row["verdicts"] for row in demonstration.rounds] == [{**honest, "elm": "rejected"}] * 3
    assert (
        "Accuracy on the test records of all hospitals, and of the same rounds without verification"
        in demonstration.said
    )
    assert list(demonstration.stranger.data.glob("[!.]*")) == []
    assert demonstration.said.count("could not fetch") == 1, "one line, however many studies lack their data"


def test_what_the_publisher_serves_whole_is_taken_and_other_bytes_leave_no_file_and_open_no_round(
    demonstration: Demonstration, tmp_path: Path
) -> None:
    """What else a publisher may do meets the code that fetches: tests/integration/setup/test_publishers.py."""
    stranger = demonstration.stranger
    with publisher(publish(tmp_path / "published")) as server:
        point_at(server.address, stranger.clone, {name: each.files for name, each in server.published().items()})
        server.manner = "wrong"
        said = stranger.run(".venv/bin/wardround up")
        assert (
            "no records for heart_disease, pneumonia, pneumonia_mp_spdz: could not fetch processed.cleveland.data"
            in said
        )
        assert "other bytes than those with the published hash" in said
        assert list(stranger.data.glob("[!.]*")) == []
        refused = stranger.run(".venv/bin/wardround run pneumonia", ends_with=2)
        assert "got no records of pneumonia" in refused
        server.manner = "whole"
        stranger.run(".venv/bin/wardround up")
        said = stranger.run(".venv/bin/wardround demo --rounds 1")
    assert "Demonstration with pneumonia: its hospitals here have their records" in said
    rounds = json.loads(stranger.run(".venv/bin/wardround rounds --json"))
    assert [(row["study"], row["status"]) for row in rounds[3:]] == [("pneumonia", "finalised")]


def point_at(address: str, clone: Path, files: dict[str, Any]) -> None:
    """Have the clone's own table name this publisher and the hashes of its files."""
    changes = {}
    for name, published in PUBLISHED.items():
        changes[f'"{published.address}"'] = f'"{address}{published.folder}/"'
        changes |= {f'"{published.files[file]}"': f'"{files[name][file]}"' for file in published.files}
    rewrite(clone / "pipeline" / "datasets" / "publishers.py", changes)


def rewrite(file: Path, changes: Mapping[str, str]) -> None:
    """Change a file in places that it has once."""
    text = file.read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file.write_text(text)
