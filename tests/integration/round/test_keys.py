"""Members move on to other keys by `wardround key`, broken off wherever a crash can break it off."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.chain.ledger import HospitalStatus, Ledger, study_id
from pipeline.chain.outbox import Outbox
from pipeline.cli import commands
from pipeline.domain import Address, HospitalName, NodeName, RoundStatus
from pipeline.errors import EvidenceRejected, Misconfigured, Refused, WardroundError
from pipeline.host import ports
from pipeline.host.secret import Secret
from pipeline.setup import ledger, members
from pipeline.site import identity
from pipeline.site.consortium import Consortium
from pipeline.site.identity import SigningKey
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from tests.support.chains import CHAIN_ID, DIGEST, MODEL, SEALING_KEYS, Devchain
from tests.support.consortia import _STUDY

pytestmark = pytest.mark.anvil

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

    def says(self, *arguments: str) -> str:
        done = CliRunner().invoke(commands, ["key", *arguments], env=self.environment)
        if isinstance(done.exception, WardroundError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output.replace("\n", " ")

    def signed(self, folder: Path, *signers: str) -> list[str]:
        """The request of alder and these owners' files."""
        self.says("request", "--as", ALDER, "-o", str(folder / "request.json"))
        for signer in signers:
            self.says("sign", str(folder / "request.json"), "--as", signer, "-o", str(folder / f"{signer}.json"))
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


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devchain]:
    made = Devchain(tmp_path_factory.mktemp("chain") / "home", ports.choose())
    made.start()
    yield made
    made.kill_supervisor()


@pytest.fixture
def owner(chain: Devchain, tmp_path: Path) -> Office:
    usual = Settings.load()
    home = tmp_path / "home"
    settings = Settings(home, usual.data, usual.cache, usual.mp_spdz, home / "studies")
    settings.studies.mkdir(parents=True)
    for name in STUDIES:
        content = {**_STUDY, "hospitals": [NORTHGATE, "southmoor", "hillside"], "nodes": [ALDER, BIRCH, CEDAR]}
        (settings.studies / f"{name}.yaml").write_text(yaml.safe_dump(content))
    everybody = members.members({name: Study.load(settings.studies / f"{name}.yaml") for name in STUDIES})
    members.create_actors(settings, everybody)
    services = Installation(store="http://127.0.0.1:1", rpc=chain.url, airflow="http://127.0.0.1:1")
    services.save(settings.installation)
    listed = members.publish(settings, everybody, ledger.deploy(settings, services), lambda _: "127.0.0.1:2")
    made = Office(settings, chain)
    sender = made.outbox(settings.provider)
    hospital = listed.hospital(NORTHGATE)
    made.outbox(settings.hospital(NORTHGATE)).send(made.ledger.register_hospital(), "register")
    sender.send(made.ledger.authorise_hospitals([hospital]), "authorise")
    for name in STUDIES:
        nodes = [Address(listed.node(node).address) for node in (ALDER, BIRCH, CEDAR)]
        sender.send(made.ledger.register_study(study_id(name), nodes, MODEL), f"register-{name}")
    return made


def test_a_hospital_moves_on_by_one_command_and_keeps_its_former_key(owner: Office) -> None:
    home = owner.settings.hospital(NORTHGATE)
    before = owner.members
    old = owner.key(home)
    said = owner.says("rotate", "--as", NORTHGATE)
    new = owner.key(home)
    assert f"{new.address} in the place of {old.address}" in said
    assert owner.members.hospitals == {**before.hospitals, NORTHGATE: new.address}
    assert [owner.ledger.hospital(key.address) for key in (old, new)] == [
        HospitalStatus.RETIRED,
        HospitalStatus.AUTHORISED,
    ]
    kept = home / "former-keys" / old.address
    assert SigningKey(Secret.read(kept)).address == old.address
    assert not (home / "signing-key.next").exists()
    read = Study.load(owner.settings.studies / "first.yaml")
    assert read.digest(before) != read.digest(owner.members), "every owner consents anew"


def test_a_rotation_that_was_broken_off_anywhere_ends_when_it_is_given_again(owner: Office, tmp_path: Path) -> None:
    home = owner.settings.hospital(NORTHGATE)
    listed = owner.settings.consortium
    old, nonces = owner.key(home), lambda: owner.chain.rpc("eth_getTransactionCount", old.address, "latest")
    shutil.copytree(home, tmp_path / "before")
    shutil.copy(listed, tmp_path / "listed")

    successor = identity.next_key(home)  # ended before anything was sent
    assert owner.key(home).address == old.address
    owner.says("rotate", "--as", NORTHGATE)
    assert owner.key(home).address == successor.address
    sent = nonces()

    # Ended after the ledger took it: the files are as before, but for the next key and the outbox.
    write = {
        "signing-key": (tmp_path / "before" / "signing-key").read_bytes(),
        "signing-key.next": successor_bytes(home),
    }
    for name, data in write.items():
        (home / name).write_bytes(data)
        (home / name).chmod(0o600)
    shutil.copy(tmp_path / "listed", listed)
    assert successor.address in owner.says("rotate", "--as", NORTHGATE)
    assert (owner.key(home).address, owner.members.hospital(NORTHGATE)) == (successor.address, successor.address)

    # Ended between the key and the members' file, before and after the next key's file was gone.
    for left in (True, False):
        shutil.copy(tmp_path / "listed", listed)
        if left:
            shutil.copy(home / "signing-key", home / "signing-key.next")
        assert successor.address in owner.says("rotate", "--as", NORTHGATE)
        assert owner.members.hospital(NORTHGATE) == successor.address
        assert not (home / "signing-key.next").exists()
    assert nonces() == sent, "nothing was sent twice"


def successor_bytes(home: Path) -> bytes:
    return (home / "signing-key").read_bytes()


def test_nobody_changes_a_key_while_a_round_runs(owner: Office, tmp_path: Path) -> None:
    files = owner.signed(tmp_path, BIRCH, CEDAR)
    owner.open_round()
    for command in (("rotate", "--as", NORTHGATE), ("send", *files)):
        with pytest.raises(Refused, match="round 1 is running"):
            owner.says(*command)
    assert owner.key(owner.settings.node(ALDER)).address == owner.members.node(ALDER).address


def test_a_key_file_that_is_not_the_listed_members_is_refused(owner: Office) -> None:
    home = owner.settings.hospital(NORTHGATE)
    (home / "signing-key").write_bytes(Secret.generate().reveal())
    with pytest.raises(Misconfigured, match="but the members' file lists"):
        owner.says("rotate", "--as", NORTHGATE)


def test_a_node_moves_on_in_all_of_its_studies_by_a_majority(owner: Office, tmp_path: Path) -> None:
    home = owner.settings.node(ALDER)
    old = owner.key(home)
    files = owner.signed(tmp_path, BIRCH, CEDAR)
    for few in (files[:1], [files[0], files[0]]):
        with pytest.raises(Refused, match="1 nodes of study first signed its next key, want 2"):
            owner.says("send", *few)
    assert owner.key(home).address == old.address, "the old key serves until the ledger has the next one"

    owner.says("send", *files)
    new = owner.key(home)
    for name in STUDIES:
        assert owner.ledger.study(study_id(name)).nodes == (
            new.address,
            *(owner.members.node(node).address for node in (BIRCH, CEDAR)),
        )
    assert owner.members.node(ALDER).address == new.address
    assert new.address != old.address
    height = owner.ledger.height()
    owner.says("send", *files)
    assert (owner.ledger.height(), owner.key(home).address) == (height, new.address)


def test_a_nodes_change_that_ended_after_one_of_two_studies_goes_on_with_the_other(
    owner: Office, tmp_path: Path
) -> None:
    home = owner.settings.node(ALDER)
    old = owner.key(home)
    files = owner.signed(tmp_path, BIRCH, CEDAR)
    second = owner.settings.studies / "second.yaml"
    shutil.copytree(home, tmp_path / "before")
    shutil.copy(owner.settings.consortium, tmp_path / "listed")
    second.rename(tmp_path / "second.yaml")
    owner.says("send", *files)
    shutil.copytree(tmp_path / "before", home, dirs_exist_ok=True)
    shutil.copy(tmp_path / "listed", owner.settings.consortium)
    (tmp_path / "second.yaml").rename(second)
    assert [old.address in owner.ledger.study(study_id(name)).nodes for name in STUDIES] == [False, True]
    assert owner.key(home).address == old.address

    owner.says("send", *files)
    assert not any(old.address in owner.ledger.study(study_id(name)).nodes for name in STUDIES)
    assert owner.key(home).address == owner.members.node(ALDER).address != old.address


def test_a_request_about_another_key_or_number_is_not_signed(owner: Office, tmp_path: Path) -> None:
    owner.signed(tmp_path)
    request = (tmp_path / "request.json").read_text()
    listed = owner.members.node(ALDER).address
    other = owner.members.node(NodeName(BIRCH)).address
    for changed, error in (
        (request.replace(listed, other), Refused),
        (request.replace('"first": 1', '"first": 2'), EvidenceRejected),
        (request.replace('"first"', '"third"').replace('"second"', '"fourth"'), Refused),
        ("[" * 100_000, EvidenceRejected),
        ("{}", EvidenceRejected),
    ):
        (tmp_path / "request.json").write_text(changed)
        with pytest.raises(error):
            owner.says("sign", str(tmp_path / "request.json"), "--as", CEDAR, "-o", str(tmp_path / "cedar.json"))
    assert not (tmp_path / "cedar.json").exists()
