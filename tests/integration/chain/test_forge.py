"""The contract's own tests, run by forge on the committed build; one test here for each function there."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.devchain import anvil
from pipeline.site.settings import PROJECT, Settings
from pipeline.tools.toolchains import node

pytestmark = pytest.mark.forge

_SOURCES = sorted((PROJECT / "contracts" / "test").glob("*.t.sol"))
_CONTRACT = re.compile(r"^contract (\w+) is [\w, ]*Base\b", re.MULTILINE)
_TEST = re.compile(r"^    function ((?:test|testFuzz|invariant)_\w+)\(", re.MULTILINE)


def _declared() -> list[tuple[str, str]]:
    """Contract and function of every test in the sources."""
    found = []
    for source in _SOURCES:
        parts = _CONTRACT.split(source.read_text())
        found += [
            (name, test) for name, body in zip(parts[1::2], parts[2::2], strict=True) for test in _TEST.findall(body)
        ]
    return found


@pytest.fixture(scope="module")
def ran() -> subprocess.CompletedProcess[str]:
    """One run of forge, which leaves the committed gas snapshot as it is."""
    path = f"{node(Settings.load()).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "FORGE_SNAPSHOT_EMIT": "false"}
    command = [str(anvil.tool("forge")), "test", "--json"]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=240, env=environment)


@pytest.fixture(scope="module")
def suites(ran: subprocess.CompletedProcess[str]) -> Mapping[str, Any]:
    """Contract to what forge says of it."""
    try:
        found = json.loads(ran.stdout)
    except ValueError:
        pytest.fail(f"forge ended with status {ran.returncode} and said: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return {suite.rpartition(":")[2]: results for suite, results in found.items()}


@pytest.fixture(scope="module")
def outcomes(suites: Mapping[str, Any]) -> Mapping[str, Any]:
    """Contract and function to how it ended."""
    named = ((suite, test, said) for suite, results in suites.items() for test, said in results["test_results"].items())
    return {f"{suite}.{test.partition('(')[0]}": said for suite, test, said in named}


@pytest.mark.parametrize(("contract", "test"), _declared(), ids=lambda value: value)
def test_the_contract(outcomes: Mapping[str, Any], contract: str, test: str) -> None:
    said = outcomes[f"{contract}.{test}"]
    assert said["status"] == "Success", said.get("reason") or said


def test_forge_ran_no_other_tests_than_these(outcomes: Mapping[str, Any]) -> None:
    assert set(outcomes) == {f"{contract}.{test}" for contract, test in _declared()}


def test_the_gas_of_every_step_is_that_of_the_snapshot(suites: Mapping[str, Any]) -> None:
    committed = json.loads((PROJECT / "contracts" / "test" / "snapshots" / "GasTest.json").read_text())
    (measured,) = (said["gas_snapshots"]["GasTest"] for said in suites["GasTest"]["test_results"].values())
    assert measured == committed, "read what changed; `npx forge test` writes the snapshot anew"
