"""One installation of a test's own, used as a person uses it: by the `wardround` command and Airflow's API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

import httpx
import psutil
import yaml
from typer.testing import CliRunner

from pipeline.airflow import airflow
from pipeline.airflow.airflow import PROVIDER, password_file
from pipeline.chain.ledger import Ledger, RoundState, study_id
from pipeline.cli import commands
from pipeline.domain import RoundId, RoundStatus, Sha256
from pipeline.host.secret import Secret
from pipeline.services import services
from pipeline.services.supervisor import Supervisor
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.views.observer import Observer
from tests.support.chains import pass_deadline
from tests.support.interrupts import heed_interrupts

T = TypeVar("T")


@dataclass(frozen=True)
class Following:
    """A command that runs, and what it has written so far."""

    process: subprocess.Popen[bytes]
    output: Path

    def said(self) -> str:
        """All of it, errors too."""
        return self.output.read_text()


WARDROUND = Path(sys.executable).with_name("wardround")


class Site:
    """An installation with its own home and studies."""

    def __init__(self, home: Path, studies: Path, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self.settings: Settings = replace(Settings.load(), home=home, studies=studies)
        self._ours = {"WARDROUND_HOME": str(home), "WARDROUND_STUDIES": str(studies), "COLUMNS": "200"}
        self._environment = {**os.environ, **self._ours, **environment}

    @classmethod
    @contextmanager
    def kept(cls, environment: Mapping[str, str] = MappingProxyType({})) -> Iterator[Self]:
        """One that the command sets up as soon as it has studies, and that it stops in the end."""
        # Not pytest's own folder: its name is too long for the process manager's socket.
        with tempfile.TemporaryDirectory(prefix="wardround-") as folder:
            site = cls(Path(folder) / "home", Path(folder) / "studies", environment)
            site.settings.studies.mkdir()
            try:
                yield site
            finally:
                site.wardround("down", ends_with=None)
                site.manager.end_stray()

    def add(self, studies: Mapping[str, Mapping[str, Any]]) -> None:
        """Write these studies' files and have the command set them up, whether services run already or not."""
        for name, study in studies.items():
            (self.settings.studies / f"{name}.yaml").write_text(yaml.safe_dump(dict(study), sort_keys=False))
        self.wardround("up", seconds=600)

    def wardround(self, *arguments: str, ends_with: int | None = 0, seconds: float = 240) -> str:
        """Run the command in a process of its own; its output after it ended with the wanted code."""
        done = subprocess.run(
            [str(WARDROUND), *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert ends_with in (None, done.returncode), (
            f"wardround {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    @contextmanager
    def following(self, *arguments: str) -> Iterator[Following]:
        """Run the command meanwhile."""
        output = self.settings.home / "said"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [str(WARDROUND), *arguments],
                env=self._environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                preexec_fn=heed_interrupts,
            )
            try:
                yield Following(process, output)
            finally:
                process.kill()
                process.wait()

    def says(self, *arguments: str, ends_with: int | None = 0) -> str:
        """What the command prints, run in this process: its imports take seconds, what it says does not."""
        done = CliRunner().invoke(commands, list(arguments), env=self._ours)
        assert ends_with in (None, done.exit_code), f"wardround {' '.join(arguments)}: {done.exception}\n{done.output}"
        return done.stdout

    def json(self, *arguments: str, ends_with: int | None = 0) -> Any:
        """What the command prints as JSON, run in this process."""
        return json.loads(self.says(*arguments, "--json", ends_with=ends_with))

    @property
    def manager(self) -> Supervisor:
        """The process manager."""
        return services.supervisor(self.settings)

    @property
    def ledger(self) -> Ledger:
        """The ledger, as anybody reads it."""
        return self.observer.ledger

    @cached_property
    def observer(self) -> Observer:
        """Ledger and store, as an auditor reads them; connected once, since tests ask while they wait."""
        return Observer.open(self.settings)

    def rounds(self, study: str) -> list[RoundState]:
        """The study's rounds on the ledger, oldest first."""
        return list(self.ledger.rounds(study_id(study)))

    def current_model(self, study: str) -> Sha256:
        """The study's model on the ledger."""
        return self.ledger.study(study_id(study)).current_model

    def await_round(
        self, study: str, after: int, *, status: RoundStatus | None = None, seconds: float = 120
    ) -> RoundId:
        """The number of the study's next round once the ledger has it (in this state)."""

        def there() -> RoundId | None:
            found = self.rounds(study)[after:]
            return found[0].round if found and status in (None, found[0].status) else None

        return until(there, seconds)

    def pass_deadline(self, round_id: RoundId) -> None:
        """Let the chain's clock be beyond the round's deadline: whoever waits for that waits no more."""
        pass_deadline(self.settings.home / "chain", self.ledger, round_id)

    def audit_all(self) -> None:
        """Every round of the ledger that has ended holds."""
        for state in self.ledger.rounds():
            if state.status in (RoundStatus.FINALISED, RoundStatus.ABORTED):
                found = self.observer.audit(state.round)
                assert found.passed, f"round {state.round}: {found.first_problem}"

    # ------------------------------------------------------------------ Airflow

    @property
    def console(self) -> str:
        """The address below which the console's pages lie."""
        return f"{Installation.load(self.settings.installation).airflow}/wardround"

    @cached_property
    def airflow(self) -> httpx.Client:
        """Airflow's API as the service provider, who starts and clears runs there."""
        return self.airflow_as(PROVIDER)

    @cached_property
    def administrator(self) -> httpx.Client:
        """Airflow's API as the owner of its machine, who may do everything there."""
        password = Secret.generate(18).token()
        account = {
            "username": "owner",
            "role": "Admin",
            "firstname": "O",
            "lastname": "O",
            "email": "owner@wardround.invalid",
        }
        options = [f"--{name}={value}" for name, value in (account | {"password": password}).items()]
        command = [sys.executable, "-m", "airflow", "users", "create", *options]
        environment = {
            **self._environment,
            **airflow.environment(self.settings, Installation.load(self.settings.installation)),
        }
        subprocess.run(command, env=environment, cwd=airflow.home(self.settings), check=True, capture_output=True)
        return self._logged_in("owner", password)

    def airflow_as(self, user: str) -> httpx.Client:
        """Airflow's API as one of its users."""
        return self._logged_in(user, Secret.read(password_file(self.settings, user)).text())

    def _logged_in(self, user: str, password: str) -> httpx.Client:
        client = httpx.Client(base_url=Installation.load(self.settings.installation).airflow, timeout=30)
        answer = client.post("/auth/token", json={"username": user, "password": password}).raise_for_status()
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return client

    def trigger(self, study: str, /, **conf: object) -> str:
        """Start a run of the study's DAG; its path in the API."""
        body = {"logical_date": None, "conf": conf}
        answer = self.airflow.post(f"/api/v2/dags/round_{study}/dagRuns", json=body).raise_for_status()
        return f"/api/v2/dags/round_{study}/dagRuns/{answer.json()['dag_run_id']}"

    def runs(self, study: str) -> dict[str, str]:
        """Airflow's words for the states of a study's runs, by run."""
        answer = self.airflow.get(f"/api/v2/dags/round_{study}/dagRuns", params={"limit": 100}).raise_for_status()
        return {run["dag_run_id"]: str(run["state"]) for run in answer.json()["dag_runs"]}

    def run_state(self, run: str) -> str:
        """Airflow's word for a run's state."""
        return str(self.airflow.get(run).raise_for_status().json()["state"])

    def await_end(self, run: str, seconds: float = 240) -> str:
        """The state in which a run ended; Airflow may be away for a while."""

        def ended() -> str | None:
            try:
                state = self.run_state(run)
            except httpx.HTTPError:
                return None
            return state if state in ("success", "failed") else None

        return until(ended, seconds)

    def tasks(self, run: str) -> dict[str, dict[str, Any]]:
        """A run's tasks by name."""
        answer = self.airflow.get(f"{run}/taskInstances", params={"limit": 500}).raise_for_status()
        return {item["task_id"]: item for item in answer.json()["task_instances"]}

    def await_task(self, run: str, task: str, *states: str, seconds: float = 120) -> None:
        """Wait until a task is in one of the states."""
        until(
            lambda: self.airflow.get(f"{run}/taskInstances/{task}").raise_for_status().json()["state"] in states,
            seconds,
        )

    # ---------------------------------------------------------------- processes

    def parties(self) -> list[psutil.Process]:
        """The processes of an engine's parties, which know nothing of this installation but their folder."""
        found = []
        for process in psutil.process_iter():
            try:
                command = process.cmdline()
                if (
                    command
                    and command[0] == str(self.settings.spu_python)
                    and Path(process.cwd()).is_relative_to(self.settings.home)
                ):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found


def until(ask: Callable[[], T | None], seconds: float) -> T:
    """Ask until the answer is neither None nor False."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := ask():
            return answer
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain"
        # Each question costs the installation that is waited for.
        time.sleep(0.6)


def sent(outbox: Path) -> Sequence[tuple[int, str]]:
    """Nonce and label of every transaction in an actor's outbox."""
    return sorted((int(path.name.split(".")[0]), path.name.split(".")[1]) for path in outbox.rglob("*.tx.json"))
