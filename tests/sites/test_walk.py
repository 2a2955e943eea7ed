"""A newcomer at a machine with an empty folder, by the lines of *Join as a hospital* as they stand there."""

from __future__ import annotations

import json
import shlex
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.site.settings import PROJECT
from tests.sites.conftest import BETWEEN_MACHINES, HOSPITALS, NEWCOMER, WORKING, Sites
from tests.support.walk import lines

pytestmark = [*BETWEEN_MACHINES, pytest.mark.spu, pytest.mark.timeout(1800)]

STUDY = "newcomer"
WREN = f"hospital-{NEWCOMER}"
PAGES_STUDY = "breast_cancer"
"""The page approves this one; here it waits for members who never come."""


def records_by_hand(sites: Sites, name: str) -> None:
    """A hospital's own copy of its records, where the page says that they go."""
    module = ("python", "-m", "pipeline.setup.public_part", STUDY)
    sites.machines[name].run("env", f"--chdir={PROJECT}", *module)


def test_whoever_types_the_page_s_lines_takes_part_in_the_next_round(up: Sites) -> None:
    wren = up.machines[WREN]
    assert not list(wren.folder.iterdir()), "an empty folder"
    by_hand: list[str] = []
    typed = [line.replace(PAGES_STUDY, STUDY) for line in lines("how-to/join-as-a-hospital.md", "Five commands")]
    assert len(typed) == 5
    for line in typed[1:]:  # The first one has set up all machines of these tests.
        command, *words = shlex.split(line)
        assert command == ".venv/bin/wardround"
        match words[:2]:
            case ["site", "join"]:
                # The provider answers with a file, and its people say the words by telephone.
                up.invite(WREN)
                by_hand.append(wren.receive(words[2], up.invitation(WREN)))
                wren.wardround(*words, text="y\n")
            case ["up"]:
                records_by_hand(up, WREN)
                wren.wardround(*words, seconds=400)
                up.provider.wardround("up", seconds=400)
            case _:
                wren.wardround(*words)
    assert by_hand == [f"{WREN}.json"]
    wren.wardround("status")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: others_admit_it(up, name), WORKING))
    said = up.provider.wardround("run", STUDY, seconds=1200, ends_with=None)
    played = [one for one in json.loads(up.provider.wardround("rounds", "--json")) if one["study"] == STUDY]
    assert [one["status"] for one in played] == ["finalised"], said
    assert played[0]["verdicts"] == dict.fromkeys([*HOSPITALS, NEWCOMER], "accepted"), said


def others_admit_it(sites: Sites, name: str) -> None:
    """What each of the others does once there is a newcomer: its new invitation, and its owner's approval."""
    machine = sites.machines[name]
    sites.join(name)
    if name.startswith("hospital-"):
        records_by_hand(sites, name)
    machine.wardround("up", seconds=400)
    machine.wardround("study", "approve", STUDY)
