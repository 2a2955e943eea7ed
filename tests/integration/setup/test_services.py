"""A whole installation: set up from nothing, killed piecemeal, moved to other ports."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from pipeline.chain.ledger import Ledger, study_id
from pipeline.consent import approval
from pipeline.setup import health, services, status
from pipeline.setup.services import CHAIN, NAMES, STORE
from pipeline.setup.up import up
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.site.settings import VARIABLES, Settings
from pipeline.store.objects import Store
from pipeline.study.study_files import load_studies
from tests.adversary import attack
from tests.support.installations import settings_in

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.airflow, pytest.mark.timeout(600)]

_PATIENCE_SECONDS = 180


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    # Not pytest's own folder: its name is too long for the process manager's socket.
    with tempfile.TemporaryDirectory(prefix="wardround-") as folder:
        settings = settings_in(Path(folder))
        try:
            up(settings)
            yield settings
        finally:
            services.supervisor(settings).stop()


def secrets_of(settings: Settings) -> list[bytes]:
    private = [path for path in settings.home.rglob("*") if path.is_file() and path.name in _SECRET_FILES]
    folder = [path for path in (settings.home / "secrets").iterdir() if path.name != "store.env"]
    return [path.read_bytes() for path in (*private, *folder)]


_SECRET_FILES = {"signing-key", "sharing-secret", "key.pem"}


def processes(settings: Settings) -> list[psutil.Process]:
    return services.supervisor(settings).processes()


def await_health(settings: Settings) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not all(row["healthy"] for row in status.report(settings)):
        assert time.monotonic() < deadline, status.report(settings)
        time.sleep(0.5)


def test_every_service_is_healthy(settings: Settings) -> None:
    assert [(row["service"], row["process"], row["trouble"]) for row in status.report(settings)] == [
        (name, "running", "") for name in NAMES
    ]


@attack(
    by="stranger",
    to="learn",
    tries="to reach a service from another machine",
    costs="nothing",
    seen="nothing",
)
def test_every_service_listens_on_loopback_only(settings: Settings) -> None:
    listening = [
        connection.laddr
        for process in processes(settings)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert [address for address in listening if not ip_address(address.ip).is_loopback] == []


def test_the_ledger_has_every_study_with_its_nodes_and_an_initial_model_in_the_store(settings: Settings) -> None:
    installation = Installation.load(settings.installation)
    consortium = Consortium.load(settings.consortium)
    ledger = Ledger.connect(installation.rpc, consortium.ledger)
    store = Store(installation.store, Identity.load(settings.provider).credentials)
    for name, study in load_studies(settings.studies).items():
        state = ledger.study(study_id(name))
        assert list(state.nodes) == [consortium.node(node).address for node in study.nodes]
        assert store.get("models", f"{state.current_model}.safetensors", state.current_model)
    assert ledger.provider() == Identity.load(settings.provider).key.address


def test_every_owner_has_approved_the_demonstration_s_studies(settings: Settings) -> None:
    up(settings)  # in a checkout at work, the code and with it the digest may have changed since
    consortium = Consortium.load(settings.consortium)
    for name, study in load_studies(settings.studies).items():
        for home in (*map(settings.hospital, study.hospitals), *map(settings.node, study.nodes)):
            approval.require(Identity.load(home), name, study.digest(consortium), consortium.ledger)


def test_no_secret_stands_in_an_argument_an_environment_or_a_log(settings: Settings) -> None:
    said = b"".join(
        path.read_bytes()
        for folder in ("logs", "airflow/logs")
        for path in (settings.home / folder).rglob("*")
        if path.is_file()
    )
    for process in processes(settings):
        said += " ".join(process.cmdline()).encode() + repr(process.environ()).encode()
    secrets = secrets_of(settings)
    assert len(secrets) > 20
    for secret in secrets:
        assert secret not in said
        assert secret.hex().encode() not in said


def test_up_again_changes_nothing(settings: Settings) -> None:
    watched = (
        settings.installation,
        settings.consortium,
        settings.home / "secrets" / "store-root",
        settings.hospital("aster") / "signing-key",
    )
    before = {path: path.read_bytes() for path in watched}
    running = services.supervisor(settings).pids()
    up(settings)
    assert {path: path.read_bytes() for path in watched} == before
    assert services.supervisor(settings).pids() == running


def test_where_things_lie_may_change_under_running_services_none_of_which_keeps_a_word_of_it(
    settings: Settings, tmp_path: Path
) -> None:
    running = services.supervisor(settings).pids()
    up(replace(settings, mp_spdz=tmp_path / "other"))
    assert Settings.load(settings.home).mp_spdz == tmp_path / "other"
    assert services.supervisor(settings).pids() == running
    for process in processes(settings):
        assert not set(VARIABLES.values()) & process.environ().keys(), process.cmdline()
    up(settings)
    assert Settings.load(settings.home) == settings


def test_other_code_starts_the_services_anew_which_keep_what_they_hold(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = services.supervisor(settings).pids()
    ledger = settings.consortium.read_bytes()
    monkeypatch.setattr(services, "_loaded_code", lambda: "0" * 64)
    up(settings)
    assert not set(services.supervisor(settings).pids().values()) & set(running.values())
    assert settings.consortium.read_bytes() == ledger
    monkeypatch.undo()
    up(settings)
    await_health(settings)


def test_every_service_killed_outright_comes_back(settings: Settings) -> None:
    manager = services.supervisor(settings)
    before = manager.pids()
    groups = [process for process in processes(settings) if os.getpgid(process.pid) in before.values()]
    for name in NAMES:
        os.kill(before[name], signal.SIGKILL)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while any(manager.pids().get(name) in (before[name], None) for name in NAMES):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    await_health(settings)
    _, left = psutil.wait_procs(groups, timeout=30)
    alive = [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert alive == [], "children of a killed process outlived it"


def test_services_whose_manager_was_killed_are_ended_before_others_start(settings: Settings) -> None:
    manager = services.supervisor(settings)
    before = set(manager.pids().values())
    (daemon,) = [process for process in processes(settings) if "supervisor.supervisord" in process.cmdline()]
    daemon.kill()
    up(settings)
    assert [pid for pid in before if psutil.pid_exists(pid)] == []
    await_health(settings)


def test_a_port_that_another_program_took_is_chosen_anew(settings: Settings) -> None:
    services.supervisor(settings).stop()
    known = Installation.load(settings.installation)
    taken = int(known.store.rpartition(":")[2])
    with socket.socket() as other:
        other.bind(("127.0.0.1", taken))
        other.listen()
        moved, names = services.addresses(settings, running=False)
    assert names == [STORE]
    assert moved.store != known.store
    assert (moved.rpc, moved.airflow) == (known.rpc, known.airflow)


def test_health_names_a_chain_with_another_id(settings: Settings) -> None:
    manager = services.supervisor(settings)
    manager.start(services.programs(settings, Installation.load(settings.installation)))
    manager.launch(CHAIN)
    installation = Installation.load(settings.installation)
    health.wait("the chain", lambda: health.chain(installation, 31337), 30)
    assert "got chain 31337, want 1" in str(health.chain(installation, 1))
