"""The files and services of Besu's QBFT network; no Besu runs on the machines where this is tested."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from eth_keys import keys

from pipeline.domain import Address, NodeName
from pipeline.setup import besu
from pipeline.setup.members import members
from pipeline.setup.sites import init
from pipeline.site.settings import PROJECT
from pipeline.site.site import Site, SiteRole
from pipeline.study.study_files import load_studies
from tests.support.installations import settings_in

COMPOSE = PROJECT / "docker" / "validators.yml"
NODES = members(load_studies(PROJECT / "studies")).nodes


def options(service: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, _, value in (word.removeprefix("--").partition("=") for word in service["command"])}


def test_the_extra_data_equals_the_example_of_besus_documentation() -> None:
    validators = (
        "0x64a702e6263b7297a96638cac6ae65e6541f4169",
        "0x3923390ad55e90c237593b3b0e401f3b08a03185",
        "0xaefdb9a738c9f433e5b6b212a6d62f6370c2f692",
        "0xc7eeb9a4e00ce683cf93039b212648e01c6c6b78",
    )
    assert besu.extra_data([Address(validator) for validator in validators]) == (
        "0xf87aa00000000000000000000000000000000000000000000000000000000000000000f8549464a702e6263b7297a96638cac6ae65e6541f4169943923390a"
        "d55e90c237593b3b0e401f3b08a0318594aefdb9a738c9f433e5b6b212a6d62f6370c2f69294c7eeb9a4e00ce683cf93039b212648e01c6c6b78c080c0"
    )


def test_the_compose_file_has_one_validator_for_each_node_as_the_generator_writes_it() -> None:
    text = COMPOSE.read_text()
    assert besu.written_into(text, NODES) == text
    services = yaml.safe_load(text)["services"]
    assert [name for name in services if name.startswith("validator-")] == [f"validator-{node}" for node in NODES]


def test_a_compose_file_without_the_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        besu.written_into("services: {}\n", NODES)


@pytest.mark.parametrize("node", NODES)
def test_a_validator_takes_no_fee_and_admits_members_only(node: NodeName) -> None:
    service = yaml.safe_load(COMPOSE.read_text())["services"][f"validator-{node}"]
    said = options(service)
    assert said["min-gas-price"] == "0"
    assert {"permissions-nodes-config-file-enabled", "permissions-accounts-config-file-enabled"} <= said.keys()
    assert said["discovery-enabled"] == "false"
    assert said["host-allowlist"] == f"validator-{node}"
    assert re.search("ADMIN|DEBUG|PERM|MINER", said["rpc-http-api"]) is None
    assert service["volumes"] == [f"./validators/{node}:/validator"]
    assert "ports" not in service
    assert said["p2p-host"] == service["networks"]["validators"]["ipv4_address"]


def test_every_validator_gets_the_same_genesis_and_peers_and_a_key_of_its_own(tmp_path: Path) -> None:
    senders = [Address("0x" + "ab" * 20)]
    besu.prepare(tmp_path, NODES, senders)
    folders = [tmp_path / node for node in NODES]
    (genesis,) = {(folder / "genesis.json").read_text() for folder in folders}
    (peers,) = {(folder / "static-nodes.json").read_text() for folder in folders}
    (permissions,) = {(folder / "permissions.toml").read_text() for folder in folders}
    private = [(folder / "key").read_text() for folder in folders]
    assert len(set(private)) == len(NODES)
    assert {(folder / "key").stat().st_mode & 0o777 for folder in folders} == {0o600}
    public = [keys.PrivateKey(bytes.fromhex(key)).public_key for key in private]
    config = json.loads(genesis)["config"]
    assert (config["zeroBaseFee"], config["qbft"]["blockperiodseconds"], config["cancunTime"]) == (True, 5, 0)
    for key in public:
        assert key.to_canonical_address().hex() in json.loads(genesis)["extraData"]
        assert key.to_hex()[2:] in peers
    assert tomllib.loads(permissions) == {"nodes-allowlist": json.loads(peers), "accounts-allowlist": senders}


def test_a_later_preparation_keeps_the_chain_and_lets_new_members_in(tmp_path: Path) -> None:
    besu.prepare(tmp_path, NODES, [Address("0x" + "ab" * 20)])
    kept = {
        path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "permissions.toml"
    }
    besu.prepare(tmp_path, NODES, [Address("0x" + "ab" * 20), Address("0x" + "cd" * 20)])
    assert all(path.read_bytes() == data for path, data in kept.items())
    assert "0x" + "cd" * 20 in (tmp_path / NODES[0] / "permissions.toml").read_text()


def test_everybody_who_sends_may_send(tmp_path: Path) -> None:
    sites = [Site(role=SiteRole.PROVIDER, name="provider"), Site(role=SiteRole.HOSPITAL, name="aster")]
    made = [
        init(site, "provider:8443" if site.role is SiteRole.PROVIDER else None, settings_in(tmp_path / site.queue))
        for site in sites
    ]
    compose = tmp_path / "validators.yml"
    compose.write_text(COMPOSE.read_text())
    besu.main(compose, [tmp_path / site.queue / "card.json" for site in sites])
    allowed = tomllib.loads((tmp_path / "validators" / NODES[0] / "permissions.toml").read_text())["accounts-allowlist"]
    assert allowed == [card.address for card in made]
    assert compose.read_text() == COMPOSE.read_text()
