from __future__ import annotations

import hashlib
import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pipeline.domain import HospitalName, NodeName
from pipeline.setup import members
from pipeline.site import certificates, identity
from pipeline.site.consortium import PORTS_PER_NODE, Consortium, LedgerLocation
from pipeline.store.policies import Policy
from tests.support.installations import INSTALLATION, settings_in, study

LEDGER = LedgerLocation(chain_id=31337, contract="0x" + "11" * 20, development=True)


def names(*values: str) -> tuple[NodeName, ...]:
    return tuple(NodeName(value) for value in values)


def test_nodes_are_listed_once_and_a_study_may_list_them_in_an_order_of_its_own() -> None:
    three = study(nodes=names("east", "north", "west"))
    four = study(name="pneumonia", nodes=names("north", "east", "west", "south"))
    assert members.members({"three": three, "four": four}).nodes == ("north", "east", "west", "south")


def test_every_actor_has_its_own_keys_that_only_it_reads_and_keeps(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    everybody = members.members({"study": study()})
    members.create_actors(settings, everybody)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    private = [path for path in before if path.name != "cert.pem"]
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    assert len({before[path] for path in private}) == len(private)
    homes = [
        *map(settings.hospital, everybody.hospitals),
        *map(settings.node, everybody.nodes),
        settings.provider,
        settings.auditor,
    ]
    assert {home.stat().st_mode & 0o777 for home in homes} == {0o700}
    members.create_actors(settings, everybody)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_certificate_names_the_node_s_host_alone(tmp_path: Path) -> None:
    fingerprint = certificates.create(tmp_path, "east", "127.0.0.1")
    certificate = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes())
    names_ = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert not names_.get_values_for_type(x509.DNSName)
    assert [str(address) for address in names_.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert fingerprint == hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    assert certificates.create(tmp_path, "east", "127.0.0.1") == fingerprint


def test_store_users_are_every_actor_with_policies_that_only_put_get_and_list(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    everybody = members.members({"study": study()})
    members.create_actors(settings, everybody)
    users = members.store_users(settings, everybody)
    assert len(users) == len(everybody.hospitals) + len(everybody.nodes) + 2
    allowed = {
        "s3:GetBucketLocation",
        "s3:GetBucketObjectLockConfiguration",
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:ListBucket",
        "s3:ListBucketVersions",
        "s3:PutObject",
    }
    assert {action for _, policy in users for action in actions(policy)} == allowed


def actions(policy: Policy) -> list[str]:
    assert "*" not in json.dumps([statement["Action"] for statement in policy["Statement"]])
    return [action for statement in policy["Statement"] for action in statement["Action"]]


def test_the_members_file_holds_public_parts_only_and_keeps_a_node_s_port(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    everybody = members.members({"study": study()})
    members.create_actors(settings, everybody)
    ports = iter(range(21_000, 31_000, 20))
    first = members.publish(settings, everybody, LEDGER, lambda name: f"127.0.0.1:{next(ports)}")
    assert members.publish(settings, everybody, LEDGER, lambda name: f"elsewhere:{next(ports)}") == first
    assert Consortium.load(settings.consortium) == first
    text = settings.consortium.read_text()
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o077 == 0:
            assert path.read_bytes().hex() not in text
            assert path.read_text(errors="replace") not in text
    for name in everybody.nodes:
        assert certificates.fingerprint(settings.certificate(name)) == first.fingerprint(name)


def test_a_new_node_s_ports_are_apart_from_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(tmp_path)
    everybody = members.members({"study": study()})
    members.create_actors(settings, everybody)
    monkeypatch.setattr("pipeline.host.ports.is_free", lambda port: True)
    monkeypatch.setattr("pipeline.host.ports.RANGE", range(20_000, 32_000))
    address = members.on_this_machine(settings, INSTALLATION)
    consortium = members.publish(settings, everybody, LEDGER, address)
    later = members.on_this_machine(settings, INSTALLATION)
    hosts = [*(node.host for node in consortium.nodes.values()), *(later(NodeName("new")) for _ in range(100))]
    firsts = sorted([20_001, *(int(host.rpartition(":")[2]) for host in hosts)])
    assert all(after - before >= PORTS_PER_NODE or before == 20_001 for before, after in pairwise(firsts))
    assert not {20_001, 20_002, 20_003} & {first + offset for first in firsts[1:] for offset in range(PORTS_PER_NODE)}


def test_a_hospital_whose_key_is_elsewhere_stays_a_member_and_set_up_makes_nothing_in_its_place(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    everybody = members.members({"study": study()})
    members.create_actors(settings, everybody)
    first = members.publish(settings, everybody, LEDGER, lambda name: "127.0.0.1:21000")
    moved = everybody.hospitals[0]
    key = identity.create(tmp_path / "elsewhere").address
    shutil.rmtree(settings.hospital(moved))
    Consortium.change(
        settings.consortium, lambda found: found.with_hospital(moved, key).with_hospital(HospitalName("wren"), key)
    )
    here = members.of_this_machine(settings, everybody)
    assert set(here.hospitals) == set(everybody.hospitals) - {moved}
    members.create_actors(settings, here)
    again = members.publish(settings, everybody, LEDGER, lambda name: "127.0.0.1:21000")
    assert again.hospitals == {**first.hospitals, moved: key, "wren": key}
    assert not settings.hospital(moved).exists()
