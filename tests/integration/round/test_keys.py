"""Members move on to other keys by `wardround key`, broken off wherever a crash can break it off."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.chain.ledger import HospitalStatus, study_id
from pipeline.domain import NodeName
from pipeline.errors import EvidenceRejected, Misconfigured, Refused
from pipeline.host.secret import Secret
from pipeline.site import identity
from pipeline.site.identity import SigningKey
from pipeline.study.study import Study
from tests.support.offices import ALDER, BIRCH, CEDAR, NORTHGATE, STUDIES, Office

pytestmark = pytest.mark.anvil


def test_a_hospital_moves_on_by_one_command_and_keeps_its_former_key(owner: Office) -> None:
    home = owner.settings.hospital(NORTHGATE)
    before = owner.members
    old = owner.key(home)
    said = owner.says("key", "rotate", "--as", NORTHGATE)
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
    owner.says("key", "rotate", "--as", NORTHGATE)
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
    assert successor.address in owner.says("key", "rotate", "--as", NORTHGATE)
    assert (owner.key(home).address, owner.members.hospital(NORTHGATE)) == (successor.address, successor.address)

    # Ended between the key and the members' file, before and after the next key's file was gone.
    for left in (True, False):
        shutil.copy(tmp_path / "listed", listed)
        if left:
            shutil.copy(home / "signing-key", home / "signing-key.next")
        assert successor.address in owner.says("key", "rotate", "--as", NORTHGATE)
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
            owner.says("key", *command)
    assert owner.key(owner.settings.node(ALDER)).address == owner.members.node(ALDER).address


def test_a_key_file_that_is_not_the_listed_members_is_refused(owner: Office) -> None:
    home = owner.settings.hospital(NORTHGATE)
    (home / "signing-key").write_bytes(Secret.generate().reveal())
    with pytest.raises(Misconfigured, match="but the members' file lists"):
        owner.says("key", "rotate", "--as", NORTHGATE)


def test_a_node_moves_on_in_all_of_its_studies_by_a_majority(owner: Office, tmp_path: Path) -> None:
    home = owner.settings.node(ALDER)
    old = owner.key(home)
    files = owner.signed(tmp_path, BIRCH, CEDAR)
    for few in (files[:1], [files[0], files[0]]):
        with pytest.raises(Refused, match="1 nodes of study first signed the change, want 2"):
            owner.says("key", "send", *few)
    assert owner.key(home).address == old.address, "the old key serves until the ledger has the next one"

    owner.says("key", "send", *files)
    new = owner.key(home)
    for name in STUDIES:
        assert owner.ledger.study(study_id(name)).nodes == (
            new.address,
            *(owner.members.node(node).address for node in (BIRCH, CEDAR)),
        )
    assert owner.members.node(ALDER).address == new.address
    assert new.address != old.address
    height = owner.ledger.height()
    owner.says("key", "send", *files)
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
    owner.says("key", "send", *files)
    shutil.copytree(tmp_path / "before", home, dirs_exist_ok=True)
    shutil.copy(tmp_path / "listed", owner.settings.consortium)
    (tmp_path / "second.yaml").rename(second)
    assert [old.address in owner.ledger.study(study_id(name)).nodes for name in STUDIES] == [False, True]
    assert owner.key(home).address == old.address

    owner.says("key", "send", *files)
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
            owner.says("key", "sign", str(tmp_path / "request.json"), "--as", CEDAR, "-o", str(tmp_path / "cedar.json"))
    assert not (tmp_path / "cedar.json").exists()
