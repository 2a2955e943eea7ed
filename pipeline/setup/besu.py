"""Besu's QBFT network for docker/validators.yml.

One validator per node, no fees, and only members' peers and accounts admitted.

`python -m pipeline.setup.besu docker/validators.yml CARD...` writes the validators' services into the file, and makes
what they mount beside it for the members whose cards it is given: the provider's, all hospitals' and nodes'. Besu runs
in containers only, so none of this was run where it was written: the genesis' extra data equals the example in Besu's
documentation, and the services fit the compose schema.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import rlp
from eth_keys.datatypes import PrivateKey

from pipeline.domain import Address, NodeName
from pipeline.host.files import write_atomic, write_secret
from pipeline.host.secret import Secret
from pipeline.site.settings import Settings

IMAGE = "hyperledger/besu:26.9.0"
CHAIN_ID = 20260
RPC_PORT = 8545
_PEER_PORT = 30303
_SUBNET = "172.30.7"
_FIRST_HOST = 11
_BLOCK_SECONDS = 5
_FORKS = (
    "homestead",
    "eip150",
    "eip155",
    "eip158",
    "byzantium",
    "constantinople",
    "petersburg",
    "istanbul",
    "berlin",
    "london",
)
_QBFT = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"
"""By this mix hash a client tells a block of QBFT or IBFT 2.0."""
_BEGIN = "  # validators: made by `python -m pipeline.setup.besu docker/validators.yml`\n"
_END = "  # end of validators\n"

_SERVICE = """\
  validator-{node}:
    image: {image}
    restart: unless-stopped
    user: "1000:1000"
    command:
      - --data-path=/validator/data
      - --genesis-file=/validator/genesis.json
      - --node-private-key-file=/validator/key
      - --static-nodes-file=/validator/static-nodes.json
      - --discovery-enabled=false
      - --p2p-host={host}
      - --p2p-port={peer_port}
      - --sync-mode=FULL
      - --data-storage-format=FOREST
      - --min-gas-price=0
      - --permissions-nodes-config-file-enabled
      - --permissions-nodes-config-file=/validator/permissions.toml
      - --permissions-accounts-config-file-enabled
      - --permissions-accounts-config-file=/validator/permissions.toml
      - --rpc-http-enabled
      - --rpc-http-host=0.0.0.0
      - --rpc-http-port={rpc_port}
      - --rpc-http-api=ETH,NET,WEB3,QBFT
      - --host-allowlist=validator-{node}
    volumes: ["./validators/{node}:/validator"]
    networks: {{chain: {{}}, validators: {{ipv4_address: {host}}}}}
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    logging: {{driver: json-file, options: {{max-size: 10m, max-file: "3"}}}}

"""


def compose(nodes: Sequence[NodeName]) -> str:
    """The validators' services, as they stand in docker/validators.yml."""
    hosts = zip(nodes, _hosts(nodes), strict=True)
    return "".join(
        _SERVICE.format(node=node, image=IMAGE, host=host, peer_port=_PEER_PORT, rpc_port=RPC_PORT)
        for node, host in hosts
    )


def written_into(text: str, nodes: Sequence[NodeName]) -> str:
    """The compose file's text with the validators made anew; raises ValueError when the marks are gone."""
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    return before + _BEGIN + compose(nodes) + _END + after


def prepare(home: Path, nodes: Sequence[NodeName], accounts: Iterable[Address]) -> None:
    """Make every validator's folder in `home`: its key, the genesis, its peers, and who may send.

    Keeps keys and genesis.
    """
    folders = [home / node for node in nodes]
    for folder in folders:
        (folder / "data").mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (folder / "key").exists():
            write_secret(folder / "key", Secret.generate().reveal().hex().encode())
    public = [PrivateKey(bytes.fromhex(Secret.read(folder / "key").text())).public_key for folder in folders]
    made = _json(genesis([Address(key.to_checksum_address()) for key in public]))
    enodes = [
        f"enode://{key.to_hex()[2:]}@{host}:{_PEER_PORT}" for key, host in zip(public, _hosts(nodes), strict=True)
    ]
    permissions = f"nodes-allowlist={json.dumps(enodes)}\naccounts-allowlist={json.dumps(list(accounts))}\n"
    for folder in folders:
        # A chain keeps its first block; who validates later is voted on the chain.
        if not (folder / "genesis.json").exists():
            write_atomic(folder / "genesis.json", made)
        write_atomic(folder / "static-nodes.json", _json(enodes))
        write_atomic(folder / "permissions.toml", permissions.encode())


def genesis(validators: Sequence[Address]) -> dict[str, object]:
    """The first block: these validators, Cancun from the start, no base fee, no account with a balance."""
    return {
        "config": {
            "chainId": CHAIN_ID,
            **{f"{fork}Block": 0 for fork in _FORKS},
            "shanghaiTime": 0,
            "cancunTime": 0,
            "zeroBaseFee": True,
            "qbft": {
                "blockperiodseconds": _BLOCK_SECONDS,
                "epochlength": 30000,
                "requesttimeoutseconds": 2 * _BLOCK_SECONDS,
            },
        },
        "nonce": "0x0",
        "timestamp": "0x0",
        "extraData": extra_data(validators),
        "gasLimit": "0x1c9c380",
        "difficulty": "0x1",
        "mixHash": _QBFT,
        "coinbase": "0x" + "00" * 20,
        "alloc": {},
    }


def extra_data(validators: Sequence[Address]) -> str:
    """QBFT's extra data of a first block, as RLP in hexadecimal.

    It holds 32 bytes of vanity, the validators, no vote, round 0 and no seals.
    """
    encoded: bytes = rlp.encode([bytes(32), [bytes.fromhex(address[2:]) for address in validators], [], b"", []])
    return "0x" + encoded.hex()


def _hosts(nodes: Sequence[NodeName]) -> list[str]:
    # Besu's peers name one another by address.
    return [f"{_SUBNET}.{_FIRST_HOST + index}" for index in range(len(nodes))]


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def main(path: Path, cards: Sequence[Path]) -> int:
    """Command line."""
    from pipeline.joining.card import Card
    from pipeline.setup.members import members
    from pipeline.study.study_files import load_studies

    nodes = members(load_studies(Settings.load().studies)).nodes
    path.write_text(written_into(path.read_text(), nodes))
    if cards:
        prepare(
            path.with_suffix(""), nodes, [Address(Card.read(card.read_bytes(), str(card)).address) for card in cards]
        )
    return 0


if __name__ == "__main__":
    file, *given = map(Path, sys.argv[1:])
    raise SystemExit(main(file, given))
