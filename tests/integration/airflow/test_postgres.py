from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy

from pipeline.airflow import postgres
from pipeline.errors import Misconfigured
from pipeline.host.secret import Secret
from pipeline.services import services
from pipeline.site.settings import Settings
from pipeline.tools import runtime
from tests.adversary import attack
from tests.support.hub import until
from tests.support.installations import settings_in


@contextmanager
def running(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    program = services.database(settings)
    process = subprocess.Popen(program.command, env={**os.environ, **program.environment})
    try:
        until(lambda: postgres.trouble(settings) is None, 60, "PostgreSQL")
        yield process
    finally:
        process.send_signal(signal.Signals[f"SIG{program.stop_signal}"])
        assert process.wait(timeout=60) == 0


def said(address: str, query: str) -> object:
    with sqlalchemy.create_engine(address).connect() as connection:
        return connection.execute(sqlalchemy.text(query)).scalar()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a PostgreSQL of its own."""
    monkeypatch.setattr(postgres, "_installed", dict)


@attack(
    by="hospital",
    to="learn",
    tries="to reach Airflow's database by a port, by its socket or by a guessed password",
    costs="nothing",
    seen="nothing: it listens on no port, its socket lies in a private folder, and the password is refused",
)
def test_a_database_is_made_once_and_opened_by_its_password_alone(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    postgres.prepare(settings)
    address = Secret.read(postgres.url_file(settings)).text()
    postgres.prepare(settings)
    assert Secret.read(postgres.url_file(settings)).text() == address
    assert postgres.trouble(settings) == "PostgreSQL does not answer"
    with running(settings) as server:
        assert said(address, "show listen_addresses") == ""
        assert said(address, "select current_database()") == "airflow"
        password = address.partition("airflow:")[2].partition("@")[0]
        with pytest.raises(sqlalchemy.exc.OperationalError, match="password"):
            said(address.replace(password, "x" * len(password)), "select 1")
        assert password not in Path(f"/proc/{server.pid}/cmdline").read_text()
    assert (postgres.folder(settings).stat().st_mode & 0o777) == 0o700


@pytest.mark.usefixtures("fetched")
def test_a_machine_without_postgresql_runs_the_one_from_pypi(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    postgres.prepare(settings)
    assert postgres.binaries(settings) == runtime.postgres_path()
    with running(settings):
        assert str(said(Secret.read(postgres.url_file(settings)).text(), "select version()")).startswith(
            "PostgreSQL 18"
        )


def test_a_database_of_another_version_is_named_and_left_alone(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    postgres.folder(settings).mkdir()
    (postgres.folder(settings) / "PG_VERSION").write_text("9\n")
    with pytest.raises(Misconfigured, match=r"made by PostgreSQL 9, this machine has .*pg_upgrade"):
        postgres.command(settings)
