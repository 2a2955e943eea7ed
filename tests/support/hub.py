"""A service provider whose sites are elsewhere: PostgreSQL, Airflow with the Edge executor and the front, for real."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy

from pipeline.airflow import airflow, postgres
from pipeline.errors import WardroundError
from pipeline.host import ports, trust
from pipeline.host.files import write_secret
from pipeline.host.secret import Secret
from pipeline.services import front, services
from pipeline.services.supervisor import Program
from pipeline.site import certificates
from pipeline.site.airflow_api import Airflow
from pipeline.site.installation import Installation
from pipeline.tools import runtime
from tests.support.installations import settings_in

DAG = """
from airflow.sdk import dag, task

@dag(dag_id="errands", schedule=None)
def errands():
    for name in ("wren", "elm"):
        @task(task_id=f"errand_{name}", queue=f"hospital-{name}")
        def errand():
            print("the errand is run")
            return 7
        errand()

errands()
"""
"""A task for each of two hospitals."""


def site_token() -> Secret:
    """As an invitation carries one."""
    return Secret(Secret.generate(64).token().encode())


class Hub:
    """The provider's machine; `start` takes a minute."""

    def __init__(self, home: Path) -> None:
        self.settings = settings_in(home)
        first = ports.choose(4)
        loopback = [f"http://127.0.0.1:{first + index}" for index in range(3)]
        self.installation = Installation(store=loopback[0], rpc=loopback[1], airflow=loopback[2])
        self.public = f"https://localhost:{first + 3}"
        self.tls = home / "tls"
        self._running: list[tuple[Program, subprocess.Popen[bytes]]] = []
        self._dags = home / "dags"
        (home / "logs").mkdir(parents=True)

    @property
    def authority(self) -> Path:
        """What every site trusts."""
        return self.tls / certificates.AUTHORITY

    def client(self) -> httpx.Client:
        """A caller from elsewhere."""
        return httpx.Client(base_url=self.public, verify=trust.context(self.authority), timeout=60)

    def admit(self, queue: str) -> Secret:
        """Make a site's token."""
        made = site_token()
        write_secret(self.settings.token_of(queue), made.reveal())
        return made

    def revoke(self, queue: str) -> None:
        """Take it back."""
        self.settings.token_of(queue).unlink()

    def airflow(self) -> Airflow:
        """Airflow's public API, as the provider asks it from elsewhere."""
        password = Secret.read(airflow.password_file(self.settings, airflow.PROVIDER))
        return Airflow.login(self.public, airflow.PROVIDER, password, self.authority)

    def asked(self, query: str) -> list[Sequence[Any]]:
        """What stands in Airflow's database."""
        engine = sqlalchemy.create_engine(Secret.read(postgres.url_file(self.settings)).text())
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sqlalchemy.text(query))]

    def start(self) -> None:
        """Everything, from nothing."""
        self._dags.mkdir()
        (self._dags / "errands.py").write_text(DAG)
        runtime.guard_environment(self.settings)
        postgres.prepare(self.settings)
        self.run(services.database(self.settings))
        until(lambda: postgres.trouble(self.settings) is None, 60, "PostgreSQL")
        airflow.configure(self.settings, self.installation, self.public)
        airflow.prepare(self.settings, airflow.users([]))
        certificates.create_authority(self.tls, "provider")
        certificates.create_server(self.tls, ["localhost"])
        address = self.public.removeprefix("https://").replace("localhost", "127.0.0.1")
        self.run(services.before_all(self.settings, self.installation, address, self.tls))
        for program in services.programs(self.settings, self.installation):
            if program.name in services.AIRFLOW:
                self.run(program)
        until(lambda: self._known("errands"), 240, "Airflow")

    def run(self, program: Program) -> subprocess.Popen[bytes]:
        """A program of this machine, or of another one's, as the process manager would start it."""
        log = (self.settings.home / "logs" / f"{program.name}.log").open("ab")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
        tests_own = {"AIRFLOW__CORE__DAGS_FOLDER": str(self._dags)}
        environment = {**inherited, **program.environment, **tests_own}
        process = subprocess.Popen(program.command, env=environment, stdout=log, stderr=log, cwd=program.folder)
        self._running.append((program, process))
        return process

    def stop(self) -> None:
        for program, process in reversed(self._running):
            process.send_signal(signal.Signals[f"SIG{program.stop_signal}"])
            try:
                process.wait(timeout=program.stop_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @contextmanager
    def worker(self, home: Path, queue: str, token: Secret) -> Iterator[subprocess.Popen[bytes]]:
        """The Edge worker of a site, on a machine of its own."""
        settings = settings_in(home)
        write_secret(settings.site_token, token.reveal())
        shutil.copy(self.authority, settings.authority)
        reached = Installation(
            store=self.public, rpc=f"{self.public}{front.RPC}", airflow=self.public, authority=settings.authority
        )
        airflow.worker_home(settings).mkdir()
        process = self.run(services.worker(settings, reached, queue, 1))
        try:
            yield process
        finally:
            process.terminate()

    def _known(self, dag: str) -> bool:
        try:
            self.airflow().series(dag, "x")
        except WardroundError:  # it does not answer, or does not know the person yet
            return False
        return True


def until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until it holds; an AssertionError when it does not in that time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not after {seconds} s"
        time.sleep(0.3)
