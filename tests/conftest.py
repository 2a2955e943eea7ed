"""What all tests share: unit tests have no network, real services for the others.

And a last word on what was exercised.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import hypothesis
import pytest
import pytest_socket
from xdist.scheduler import LoadScopeScheduling

from pipeline.host import namespace, ports
from pipeline.mpc.engines import engine
from pipeline.site.settings import HOME, PROJECT, VARIABLES, Settings
from pipeline.tools import runtime
from tests.support import browser, own_ports
from tests.support.machines import lab
from tests.support.minio import StoreServer

HERE = Path(__file__).parent

ENGINES_AND_SERVICES = {
    "mp_spdz": "MP-SPDZ",
    "spu": "SPU",
    "minio": "MinIO",
    "versitygw": "versitygw",
    "namespace": "network namespaces (MinIO shut in, a machine alone)",
    "machines": "several machines (namespaces of network, files and processes)",
    "anvil": "anvil (development chain)",
    "forge": "forge",
    "slither": "slither",
    "airflow": "Airflow",
    "chromium": "Chromium",
    "sites": "sites of a consortium, each on a machine of its own",
    "studies": "three whole studies, from records to a model",
    "compose": "docker-compose.yml on a container engine",
    "bft": "BFT chain of four validators",
}
"""Marker to name; a marker that no test carries is reported as not tested."""

_OPT_IN = {marker: f"make test-{marker}" for marker in ("bft", "sites", "studies", "compose")}
"""Marker of tests that run when asked for, to the command that does."""

# No example is timed: the first that needs torch loads it, for seconds.
hypothesis.settings.register_profile("usual", deadline=None)
hypothesis.settings.load_profile("usual")
# a long look, by hand: pytest --hypothesis-profile=deep
hypothesis.settings.register_profile("deep", max_examples=300, deadline=None)

_LONGEST_FIRST = ("e2e", "sites", "integration/setup", "integration/round", "unit/round", "integration/mpc", "")
_AIRFLOW = {"compose", "e2e", "sites", "studies"}
"""Folders with the tests that start an Airflow."""
_EXERCISES = "exercises"

_outcomes: dict[str, Counter[str]] = {marker: Counter() for marker in ENGINES_AND_SERVICES}
_seconds: Counter[str] = Counter()


def pytest_configure() -> None:
    # Tests find engines and data where this checkout does, and nothing else of its installation.
    usual = Settings.load()
    lie = {VARIABLES[name]: usual.environment[VARIABLES[name]] for name in usual.folders.keys() - {"studies"}}
    os.environ.update({**lie, HOME: str(PROJECT / "build" / "no-installation")})


_usual_store = cache(runtime.usual_store)
_own_ports = cache(own_ports.take)


@cache
def _missing(marker: str) -> str | None:
    """Why a test with this marker cannot run here.

    MP-SPDZ, a browser and namespaces may be missing, set-up brings all else.
    """
    if marker == "namespace":
        return None if namespace.can_shut_in() else "want `unshare --map-root-user --net true` to end without an error"
    if marker == "machines":
        return lab.missing()
    if marker == "chromium":
        return None if browser.command() else "install it (Debian: apt-get install chromium)"
    problems = engine("mp-spdz", Settings.load()).problems() if marker == "mp_spdz" else ()
    return "; ".join(problems) or None


def _stage(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The longest first, so that no worker is left with one of them when the others are done.
    items.sort(
        key=lambda item: next(
            place for place, folder in enumerate(_LONGEST_FIRST) if item.path.is_relative_to(HERE / folder)
        )
    )
    for item in items:
        if item.get_closest_marker("store"):
            item.add_marker(_usual_store())
        for marker in ENGINES_AND_SERVICES:
            if not item.get_closest_marker(marker):
                continue
            # Reports carry these to where the summary is written; a report's keywords also hold the names of folders.
            item.user_properties.append((_EXERCISES, marker))
            if reason := _missing(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


class _ByInstallation(LoadScopeScheduling):
    """Gives one worker all tests that share one installation, else those of a file.

    One worker has all that start an Airflow: each takes most of a core, also while its test waits.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.partition("::")[0])
        if _AIRFLOW & set(file.parts):
            return "airflow"
        return str(file.parent if {"adversary", "audit", "console", "round"} & set(file.parts) else file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _ByInstallation(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    assert not item.get_closest_marker("airflow") or _AIRFLOW & set(item.path.parts), (
        f"want {item.nodeid} in {_AIRFLOW}"
    )
    if _stage(item) == "unit":
        marked = [marker for marker in ENGINES_AND_SERVICES if item.get_closest_marker(marker)]
        assert not marked, f"{item.nodeid} needs {marked}: want it under tests/integration or tests/e2e"
        pytest_socket.disable_socket(allow_unix_socket=True)
    else:
        pytest_socket.enable_socket()
        ports.RANGE, _ = _own_ports()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # Called where the summary is written, also when workers run the tests.
    _seconds[Path(report.nodeid).parts[1]] += report.duration
    if report.when == "call" or report.outcome != "passed":
        for name, marker in report.user_properties:
            if name == _EXERCISES:
                _outcomes[str(marker)][report.outcome] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("engines and services exercised")
    for marker, outcomes in _outcomes.items():
        terminalreporter.line(f"{ENGINES_AND_SERVICES[marker]}: {_said(marker, outcomes)}")
    terminalreporter.line(
        "seconds of tests: " + ", ".join(f"{stage} {seconds:.0f}" for stage, seconds in _seconds.items())
    )


def _said(marker: str, outcomes: Counter[str]) -> str:
    if outcomes["skipped"] and (reason := _missing(marker)):
        return f"not here, {outcomes['skipped']} tests skipped ({reason})"
    if not outcomes["passed"] + outcomes["failed"]:
        return f"not tested: opt-in, run `{_OPT_IN[marker]}`" if marker in _OPT_IN else "not tested"
    counts = [f"{outcomes[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped") if outcomes[outcome]]
    return f"tested ({', '.join(counts)})"


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """One real MinIO for all tests that do not disturb it."""
    server = StoreServer(tmp_path_factory.mktemp("minio"))
    yield server
    server.stop()


@pytest.fixture
def own_minio(tmp_path: Path) -> Iterator[StoreServer]:
    """A real MinIO of one test's own, to be killed, restarted and tampered with."""
    server = StoreServer(tmp_path / "minio")
    yield server
    server.stop()
