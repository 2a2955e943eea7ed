"""Prepare ./deployment for docker-compose.yml.

With `--establish`, inside its network, set up store, ledger and Airflow.

`python -m pipeline.setup.deployment` writes keys, passwords and addresses. The folder holds everybody's secrets, which
is for trying things out: an owner who joins for real makes its own keys on its own machine and sends the public ones.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from pipeline.airflow import airflow
from pipeline.domain import NodeName
from pipeline.host.files import write_secret
from pipeline.host.secret import Secret
from pipeline.services import health, services
from pipeline.setup import besu, demonstration, ledger, members, store
from pipeline.site.consortium import LedgerLocation
from pipeline.site.installation import Installation
from pipeline.site.settings import PROJECT, Settings
from pipeline.study.study_files import load_studies

FOLDER = PROJECT / "deployment"

_PARTY_PORT = 7000
_NOBODY = LedgerLocation(chain_id=besu.CHAIN_ID, contract="0x" + "00" * 20, development=False)
_START_SECONDS = 120


def prepare(settings: Settings) -> None:
    """Make every folder and file that docker-compose.yml mounts; keeps what is there."""
    everybody = members.members(load_studies(settings.studies))
    here = members.of_this_machine(settings, everybody)
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    members.create_actors(settings, here, _host)
    demonstration.configure_hospitals(settings, here.hospitals)
    airflow.make_secrets(settings)
    services.store_environment(settings, "minio")
    for queue in (airflow.PROVIDER, *(f"hospital-{name}" for name in here.hospitals), *map(_host, here.nodes)):
        airflow.make_site_token(settings, queue)
    password = settings.home / "secrets" / "postgres-password"
    if not password.exists():
        write_secret(password, Secret.generate(24).token().encode())
    url = f"postgresql+psycopg2://airflow:{Secret.read(password).text()}@database/airflow"
    write_secret(settings.home / "secrets" / "airflow-database", url.encode())
    for folder in (
        settings.records,
        settings.home / "minio",
        settings.home / "airflow" / "logs",
        settings.home / "console",
    ):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    addresses(everybody.nodes[0]).save(settings.installation)
    for node in everybody.nodes:
        # Each node trusts its own validator; the others read through the first.
        addresses(node).save(settings.home / "addresses" / f"{node}.yaml")
    besu.prepare(settings, everybody.nodes, members.accounts(settings, here))
    if not settings.consortium.exists():
        # Docker would mount a folder where a file is missing; `--establish` fills in the ledger.
        members.publish(settings, everybody, _NOBODY, _address)


def addresses(node: NodeName) -> Installation:
    """Where the services answer, the chain by this node's validator."""
    return Installation(
        store="http://store:9000", rpc=besu.rpc(node), airflow="http://airflow-api:8080", development_chain=False
    )


def establish(settings: Settings) -> None:
    """Set up store, ledger, demonstration data, Airflow's database and users; may be repeated."""
    studies = load_studies(settings.studies)
    everybody = members.members(studies)
    installation = addresses(everybody.nodes[0])
    health.wait("the object store", lambda: health.store(installation), _START_SECONDS)
    store.set_up(settings, installation, members.of_this_machine(settings, everybody))
    health.wait("the chain", lambda: health.chain(installation, None), _START_SECONDS)
    consortium = members.publish(settings, everybody, ledger.deploy(settings, installation, unset=_NOBODY), _address)
    ledger.establish(settings, installation, consortium, studies)
    demonstration.deal_records(settings, studies)
    demonstration.approve(settings, consortium, studies)
    airflow.prepare(settings, airflow.users(everybody.hospitals))


def _host(node: NodeName) -> str:
    return f"node-{node}"


def _address(node: NodeName) -> str:
    return f"{_host(node)}:{_PARTY_PORT}"


def main(arguments: list[str]) -> int:
    """Command line."""
    if arguments == ["--establish"]:
        establish(Settings.load())
        return 0
    if arguments:
        sys.stderr.write(f"got {' '.join(arguments)}, want nothing or --establish\n")
        return 2
    prepare(replace(Settings.load(), home=FOLDER))
    sys.stdout.write(f"{FOLDER} is ready; keep it secret\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
