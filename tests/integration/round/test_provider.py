"""The service provider's role goes to another key by `wardround provider`, in two steps, between rounds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.chain.ledger import study_id
from pipeline.domain import Address
from pipeline.errors import ContractRefused, EvidenceRejected, Refused
from pipeline.site import identity
from pipeline.study.study import Study
from tests.support.offices import ALDER, NORTHGATE, Office

pytestmark = pytest.mark.anvil


def _prepared(owner: Office, home: Path | None = None) -> str:
    return owner.says("provider", "prepare", home=home).partition(":")[0]


def test_another_machine_takes_the_role_and_opens_the_next_round(owner: Office, tmp_path: Path) -> None:
    before = owner.members
    provider = owner.settings.provider
    old = owner.key(provider)
    read = Study.load(owner.settings.studies / "second.yaml")
    other = tmp_path / "other"
    other.mkdir()
    for file in (owner.settings.consortium, owner.settings.installation):
        shutil.copy(file, other)
    successor = _prepared(owner, other)
    assert _prepared(owner, other) == successor, "the same key, however often"

    with pytest.raises(Refused, match=f"got the key {successor}, but the provider named 0x0000"):
        owner.says("provider", "accept", home=other)
    assert "may take the role" in owner.says("provider", "hand-over", "--to", successor)
    assert "named before" in owner.says("provider", "hand-over", "--to", successor)
    assert owner.ledger.provider() == old.address, "one step changes nothing"

    assert f"{successor} is the service provider" in owner.says("provider", "accept", home=other)
    height = owner.ledger.height()
    assert successor in owner.says("provider", "accept", home=other)
    assert (owner.ledger.height(), owner.ledger.provider()) == (height, successor)
    with pytest.raises(Refused, match=f"the ledger's provider is {successor}"):
        owner.says("provider", "hand-over", "--to", old.address)
    assert read.digest(owner.members) == read.digest(before), "consents stand"
    with pytest.raises(ContractRefused, match="NotProvider"):
        owner.open_round()
    shutil.rmtree(provider)
    shutil.copytree(other / "provider", provider)
    owner.open_round()
    assert owner.ledger.study(study_id("second")).open_round == 1


def test_the_provider_moves_on_to_another_key_on_its_own_machine(owner: Office, tmp_path: Path) -> None:
    home = owner.settings.provider
    old = owner.key(home)
    successor = _prepared(owner)
    assert owner.key(home).address == old.address, "the old key serves until the ledger has the next one"
    owner.says("provider", "hand-over", "--to", successor)
    shutil.copytree(home, tmp_path / "before")
    owner.says("provider", "accept")
    assert owner.key(home).address == owner.ledger.provider() == successor
    assert (home / identity.FORMER_KEYS / old.address).exists()

    # Ended after the ledger took it: the key's file is as before.
    height = owner.ledger.height()
    shutil.rmtree(home)
    shutil.copytree(tmp_path / "before", home)
    owner.says("provider", "accept")
    assert (owner.ledger.height(), owner.key(home).address) == (height, successor)


def test_nobody_hands_the_role_over_while_a_round_runs_or_to_a_member(owner: Office) -> None:
    successor = _prepared(owner)
    for key in (owner.members.hospital(NORTHGATE), owner.members.node(ALDER).address, owner.ledger.provider()):
        with pytest.raises(Refused, match="got the key of"):
            owner.says("provider", "hand-over", "--to", key)
    with pytest.raises(EvidenceRejected, match="want 0x and 40"):
        owner.says("provider", "hand-over", "--to", "0x12")
    owner.open_round()
    with pytest.raises(Refused, match="round 1 is running"):
        owner.says("provider", "hand-over", "--to", successor)
    call = owner.ledger.transfer_provider(Address(successor))
    owner.outbox(owner.settings.provider).send(call, "past-the-command")
    with pytest.raises(Refused, match="round 1 is running"):
        owner.says("provider", "accept")
