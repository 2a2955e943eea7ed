"""How long `wardround audit` takes for one round and for all, at 10, 100 and 1,000 finished rounds of 20 hospitals.

Rounds are made as the tests make them, on a real MinIO and a real anvil: `python -m benchmarks.audit [--hospitals N]
[--rounds N]...`.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import psutil
import typer
from eth_utils.address import to_checksum_address

from pipeline.audit.audit_round import audit
from pipeline.audit.statement_archive import SUFFIX, pack
from pipeline.chain.contract import Call
from pipeline.chain.ledger import Ledger
from pipeline.chain.outbox import Receipt
from pipeline.devchain.anvil import Anvil
from pipeline.domain import Address, RoundId
from pipeline.evidence.canonical import sha256
from pipeline.host.files import write_atomic
from pipeline.report import render
from pipeline.report.round_list import summary
from pipeline.report.round_view import gather
from pipeline.site.consortium import LedgerLocation
from pipeline.site.identity import StoreCredentials
from pipeline.site.installation import Installation
from pipeline.site.settings import PROJECT
from pipeline.store import object_keys, policies
from pipeline.store.objects import Store
from tests.integration.audit.conftest import ChainDriver
from tests.support.chains import CHAIN_ID
from tests.support.finished_rounds import RoundMaker, consortium, key, model, study
from tests.support.minio import StoreServer

RESULTS = Path(__file__).parent / "results" / "audit.json"
_GENESIS_SECONDS = 1_700_000_000
_WRITERS = 4
_REPEATS = 5
_PARAMETERS = 31_000
"""Of the models: as many as the chest X-ray network's, in round numbers."""


class _Sender:
    """Sends without an outbox and without saving the chain after each transaction: only what is read is measured."""

    _nonces: ClassVar[Counter[str]] = Counter()

    def __init__(self, anvil: Anvil, name: str) -> None:
        self._anvil = anvil
        self._name = name

    def send(self, call: Call, label: str) -> Receipt:
        """Sign, send and mine one transaction."""
        nonce = self._nonces[self._name]
        self._nonces[self._name] += 1
        fields: dict[str, Any] = {"nonce": nonce, "gas": 6_000_000, "gasPrice": 0, "chainId": CHAIN_ID, "value": 0}
        signed = key(self._name).account.sign_transaction(
            fields | {"data": "0x" + call.data.hex()} | ({"to": to_checksum_address(call.to)} if call.to else {})
        )
        sent = self._anvil.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        self._anvil.call("evm_mine")
        got = self._anvil.call("eth_getTransactionReceipt", sent)
        assert int(got["status"], 16) == 1, f"{call.name} was refused"
        return Receipt(
            label,
            sent,
            int(got["blockNumber"], 16),
            got["blockHash"],
            int(got["gasUsed"], 16),
            _address(got["contractAddress"]),
        )


def _address(printed: str | None) -> Address | None:
    return Address(to_checksum_address(printed)) if printed else None


@dataclass
class _Driver(ChainDriver):
    anvil: Anvil | None = None

    def _outbox(self, name: str) -> Any:
        assert self.anvil
        return _Sender(self.anvil, name)


class Site:
    """A store and a chain with finished rounds, and an auditor's home."""

    def __init__(self, folder: Path, hospitals: int) -> None:
        names = tuple(f"hospital-{number:02d}" for number in range(hospitals))
        self.of = study(nodes=4).model_copy(update={"hospitals": names})
        self.server = StoreServer(folder / "minio")
        self.anvil = Anvil.start(folder, CHAIN_ID, _GENESIS_SECONDS, None)
        self.store = self.server.as_root()
        self.home = folder / "home"
        initial = model(0, _PARAMETERS)
        driver = _Driver(self.anvil.url, folder, names, self.of.nodes, self.of.name, sha256(initial), anvil=self.anvil)
        self.ledger = driver.ledger
        self._writers = ThreadPoolExecutor(_WRITERS)
        self._statements: list[tuple[str, bytes]] = []
        self._writing: list[Future[object]] = []
        self.maker = RoundMaker(self.of, consortium(self.of, CHAIN_ID, driver.ledger.contract), self._put, driver)
        self.maker.start(initial)
        self._reports: dict[str, bytes] = {}
        self._admit_auditor()

    def finish(self, number: int) -> None:
        """One more round, with its report and its pack."""
        round_id = RoundId(number)
        self._statements.clear()
        self.maker.finish(round_id, new_model=model(number, _PARAMETERS))
        self._written()
        if not self._reports:
            view = gather(self.ledger.round(round_id), self.ledger, self.store)
            made = render.render(view, [summary(view)], self.of.title)
            self._reports = {"html": made.html, "csv": made.csv, "png": made.png, "json": made.json}
        for suffix, data in {**self._reports, SUFFIX: pack(self._statements)}.items():
            key_prefix = object_keys.report(round_id, suffix)
            self._put(key_prefix.bucket, key_prefix.key(sha256(data)), data)
        self._written()

    def measure(self, rounds: int) -> dict[str, Any]:
        """Seconds that the commands take, each in a process of its own.

        Also those that the audit of the last round takes within one process.
        """
        one, _ = self._timed("audit", str(rounds), "--json")
        before = self._processor_seconds()
        everything, said = self._timed("audit", "--all", "--json")
        assert said == {"rounds": rounds, "passed": True, "failed": []}, said
        command, services, machine = (
            after - earlier for after, earlier in zip(self._processor_seconds(), before, strict=True)
        )
        return {
            "rounds": rounds,
            "seconds_all": round(everything, 1),
            "processor_seconds_all": {"command": round(command, 1), "store_and_chain": round(services, 1)},
            "processor_seconds_of_others": round(machine - command - services, 1),
            "milliseconds_per_round": round(1000 * everything / rounds, 1),
            "seconds_command_one": round(one, 2),
            "seconds_one": round(self._audit_last(rounds), 3),
        }

    def stop(self) -> None:
        """End the services."""
        self._writers.shutdown()
        self.anvil.kill()
        self.server.stop()

    def _processor_seconds(self) -> tuple[float, float, float]:
        """Used so far by the commands that have ended, by the services, and by everything on this machine."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        machine = psutil.cpu_times()
        services = [psutil.Process(pid).cpu_times() for pid in (self.server.pid, self.anvil.pid)]
        return (
            ended.ru_utime + ended.ru_stime,
            sum(one.user + one.system for one in services),
            machine.user + machine.nice + machine.system,
        )

    def _audit_last(self, rounds: int) -> float:
        ledger = Ledger.connect(
            self.anvil.url, LedgerLocation(chain_id=CHAIN_ID, contract=self.ledger.contract, development=True)
        )
        seconds = []
        for _ in range(_REPEATS):
            started = time.monotonic()
            report = audit(RoundId(rounds), ledger, self.auditor)
            seconds.append(time.monotonic() - started)
            assert report.passed, report.first_problem
        return statistics.median(seconds)

    def _timed(self, *arguments: str) -> tuple[float, Any]:
        started = time.monotonic()
        environment = {**os.environ, "WARDROUND_HOME": str(self.home)}
        command = [sys.executable, "-c", "from pipeline.cli import app; app()", *arguments]
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return time.monotonic() - started, json.loads(done.stdout)

    def _put(self, bucket: str, name: str, data: bytes) -> object:
        if object_keys.holds(name):
            self._statements.append((name, data))
        self._writing.append(self._writers.submit(self.store.put_once, bucket, name, data))
        return None

    def _written(self) -> None:
        for future in self._writing:
            future.result()
        self._writing.clear()

    def _admit_auditor(self) -> None:
        credentials = StoreCredentials.generate("auditor")
        self.server.administrator.admit(credentials, policies.auditor())
        self.auditor = Store(self.server.endpoint, credentials)
        credentials.save(self.home / "auditor" / "store-credentials.json")
        Installation(store=self.server.endpoint, rpc=self.anvil.url, airflow="http://127.0.0.1:1").save(
            self.home / "installation.yaml"
        )
        self.maker.members.save(self.home / "consortium.yaml")


def main(hospitals: int = 20, rounds: Annotated[list[int] | None, typer.Option(min=1)] = None) -> None:
    """Measure, print and write results/audit.json."""
    steps = sorted(rounds or [10, 100, 1000])
    rows = []
    with tempfile.TemporaryDirectory(prefix="wardround-audit-") as folder:
        site = Site(Path(folder), hospitals)
        try:
            for number in range(1, steps[-1] + 1):
                site.finish(number)
                if number in steps:
                    rows.append(site.measure(number))
                    typer.echo(json.dumps(rows[-1]))
        finally:
            site.stop()
    result = {
        "hospitals": hospitals,
        "nodes": 4,
        "cores": psutil.cpu_count(),
        "machine": platform.machine(),
        "rows": rows,
    }
    write_atomic(RESULTS, (json.dumps(result, indent=2) + "\n").encode())


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
