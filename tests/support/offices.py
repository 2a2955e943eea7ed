"""All members of an installation on a real chain, between rounds: no store, no round's worker, the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.chain.ledger import Ledger, study_id
from pipeline.chain.outbox import Outbox
from pipeline.cli import commands
from pipeline.domain import Address, HospitalName, NodeName, RoundStatus
from pipeline.errors import WardroundError
from pipeline.host import ports
from pipeline.host.secret import Secret
from pipeline.setup import ledger, members
from pipeline.site.consortium import Consortium
from pipeline.site.identity import SigningKey
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from tests.support.chains import CHAIN_ID, DIGEST, MODEL, SEALING_KEYS, Devchain
from tests.support.installed import STUDY

ALDER = NodeName("alder")
BIRCH = NodeName("birch")
CEDAR = NodeName("cedar")
NORTHGATE = HospitalName("northgate")
STUDIES = ("first", "second")


@dataclass
class Office:
    """All members' folders, a chain with both studies, and the command line; no store and no round's worker."""

    settings: Settings
    chain: Devchain

    @property
    def ledger(self) -> Ledger:
        return Ledger.connect(self.chain.url, self.members.ledger)

    @property
    def members(self) -> Consortium:
        return Consortium.load(self.settings.consortium)

    def key(self, home: Path) -> SigningKey:
        return SigningKey(Secret.read(home / "signing-key"))

    def outbox(self, home: Path) -> Outbox:
        return Outbox(home / "outbox", self.key(home), self.chain.url, CHAIN_ID)

    def says(self, *arguments: str, home: Path | None = None) -> str:
        """What `wardround` prints, in this installation or in another folder; raises what it refuses with."""
        where = self.environment | ({"WARDROUND_HOME": str(home)} if home else {})
        done = CliRunner().invoke(commands, list(arguments), env=where)
        if isinstance(done.exception, WardroundError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output.replace("\n", " ")

    def signed(self, folder: Path, *signers: str) -> list[str]:
        """The request of alder and these owners' files."""
        self.says("key", "request", "--as", ALDER, "-o", str(folder / "request.json"))
        for signer in signers:
            self.says("key", "sign", str(folder / "request.json"), "--as", signer, "-o", str(folder / f"{signer}.json"))
        return [str(folder / f"{signer}.json") for signer in signers]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "WARDROUND_HOME": str(self.settings.home),
            "WARDROUND_STUDIES": str(self.settings.studies),
            "COLUMNS": "200",
        }

    def open_round(self) -> None:
        now = self.ledger.block_time()
        terms = {
            "study_digest": DIGEST,
            "sealing_keys": SEALING_KEYS,
            "commit_deadline": now + 600,
            "result_deadline": now + 900,
        }
        current = self.ledger.study(study_id("second")).current_model
        call = self.ledger.open_round(1, study_id("second"), previous_model=current, **terms)  # type: ignore[arg-type]
        self.outbox(self.settings.provider).send(call, "open-1")
        assert self.ledger.status(1) is RoundStatus.OPEN  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def office_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devchain]:
    """One for all offices: each deploys a ledger of its own on it."""
    made = Devchain(tmp_path_factory.mktemp("chain") / "home", ports.choose())
    made.start()
    yield made
    made.kill_supervisor()


@pytest.fixture
def owner(office_chain: Devchain, tmp_path: Path) -> Office:
    usual = Settings.load()
    home = tmp_path / "home"
    settings = Settings(home, usual.data, usual.cache, usual.mp_spdz, home / "studies")
    settings.studies.mkdir(parents=True)
    for name in STUDIES:
        content = {**STUDY, "hospitals": [NORTHGATE, "southmoor", "hillside"], "nodes": [ALDER, BIRCH, CEDAR]}
        (settings.studies / f"{name}.yaml").write_text(yaml.safe_dump(content))
    everybody = members.members({name: Study.load(settings.studies / f"{name}.yaml") for name in STUDIES})
    members.create_actors(settings, everybody)
    services = Installation(store="http://127.0.0.1:1", rpc=office_chain.url, airflow="http://127.0.0.1:1")
    services.save(settings.installation)
    listed = members.publish(settings, everybody, ledger.deploy(settings, services), lambda _: "127.0.0.1:2")
    made = Office(settings, office_chain)
    sender = made.outbox(settings.provider)
    hospital = listed.hospital(NORTHGATE)
    made.outbox(settings.hospital(NORTHGATE)).send(made.ledger.register_hospital(), "register")
    sender.send(made.ledger.authorise_hospitals([hospital]), "authorise")
    for name in STUDIES:
        nodes = [Address(listed.node(node).address) for node in (ALDER, BIRCH, CEDAR)]
        sender.send(made.ledger.register_study(study_id(name), nodes, MODEL), f"register-{name}")
    return made
