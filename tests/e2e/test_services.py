"""The services of the installation on which all rounds ran: started anew, left without their manager, stopped, moved.

`test_kill.py` kills them in the middle of a round. Each test leaves the installation as the next one takes it; the last
ones leave little of it running.
"""

from __future__ import annotations

import socket
import subprocess
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from pipeline.chain.ledger import Ledger, study_id
from pipeline.consent import approval
from pipeline.devchain.devchain import CHAIN_ID
from pipeline.domain import RoundStatus
from pipeline.services import health, services, status
from pipeline.services.services import NAMES, STORE
from pipeline.setup.up import up
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.site.settings import VARIABLES, Settings
from pipeline.store.objects import Store
from pipeline.study.study_files import load_studies
from tests.adversary import attack
from tests.support.site import Site

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.airflow, pytest.mark.timeout(600)]


@pytest.fixture
def settings(site: Site) -> Settings:
    return site.settings


def secrets_of(settings: Settings) -> list[bytes]:
    private = [path for path in settings.home.rglob("*") if path.is_file() and path.name in _SECRET_FILES]
    folder = [path for path in (settings.home / "secrets").iterdir() if path.name != "store.env"]
    return [path.read_bytes() for path in (*private, *folder)]


_SECRET_FILES = {"signing-key", "sharing-secret", "key.pem"}


def processes(settings: Settings) -> list[psutil.Process]:
    return services.supervisor(settings).processes()


def alive(found: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_every_service_is_healthy_and_the_machine_has_what_it_needs(site: Site) -> None:
    assert [(row["service"], row["process"], row["trouble"]) for row in status.report(site.settings)] == [
        (name, "running", "") for name in NAMES
    ]
    assert [(row["service"], row["process"], row["healthy"]) for row in site.json("status")["services"]] == [
        (name, "running", True) for name in NAMES
    ]
    assert "engine spu: ready" in site.wardround("doctor")


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


def test_every_owner_has_approved_the_demonstration_s_studies(settings: Settings) -> None:
    consortium = Consortium.load(settings.consortium)
    for name, study in load_studies(settings.studies).items():
        for home in (*map(settings.hospital, study.hospitals), *map(settings.node, study.nodes)):
            approval.require(Identity.load(home), name, study.digest(consortium), consortium.ledger)


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
    assert all(row["healthy"] for row in status.report(settings))


def test_services_whose_manager_was_killed_are_ended_before_others_start_which_find_every_round_where_it_was(
    site: Site,
) -> None:
    rounds = site.json("rounds")
    digest = site.wardround("study", "digest", "small")
    installation = Installation.load(site.settings.installation)
    height = site.ledger.height()
    before = processes(site.settings)
    (daemon,) = [process for process in before if "supervisor.supervisord" in process.cmdline()]
    daemon.kill()
    site.wardround("up")
    assert alive(before) == []
    assert Installation.load(site.settings.installation) == installation
    assert site.ledger.height() == height
    assert site.json("rounds") == rounds
    assert site.wardround("study", "digest", "small") == digest
    site.audit_all()


def test_down_leaves_nothing_running(site: Site) -> None:
    started = site.manager.processes()
    site.wardround("down")
    assert site.manager.processes() == site.parties() == []
    assert alive(started) == []
    assert {row["process"] for row in site.json("status", ends_with=1)["services"]} == {"stopped"}


def test_a_port_that_another_program_took_is_chosen_anew(settings: Settings) -> None:
    known = Installation.load(settings.installation)
    taken = int(known.store.rpartition(":")[2])
    with socket.socket() as other:
        # The store's own last connections may still linger on its port.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", taken))
        other.listen()
        moved, names = services.addresses(settings, running=False)
    assert names == [STORE]
    assert moved.store != known.store
    assert (moved.rpc, moved.airflow) == (known.rpc, known.airflow)


def test_store_and_chain_that_were_stopped_hold_every_round_still(site: Site) -> None:
    manager = services.supervisor(site.settings)
    installation = Installation.load(site.settings.installation)
    manager.start(services.programs(site.settings, installation))
    for name in services.backing(installation):
        manager.launch(name)
    health.wait("the object store", lambda: health.store(installation), 30)
    health.wait("the chain", lambda: health.chain(installation, CHAIN_ID), 30)
    assert f"got chain {CHAIN_ID}, want 1" in str(health.chain(installation, 1))
    again = Site(site.settings.home, site.settings.studies)  # the store has moved
    git = subprocess.run(["git", "tag"], cwd=site.settings.records, capture_output=True, text=True, check=True)
    kept = set(git.stdout.split())
    rounds = again.ledger.rounds()
    finalised = {f"round-{state.round}" for state in rounds if state.status is RoundStatus.FINALISED}
    assert finalised <= kept <= {f"round-{state.round}" for state in rounds}
    assert kept
    again.audit_all()
