"""What Besu answers otherwise than anvil does.

No Besu runs here: its documented answers come from a server of the test's own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import rlp

from pipeline.chain import contract, rpc
from pipeline.chain.ledger import Ledger
from pipeline.domain import Address, RoundId
from pipeline.errors import ContractRefused, Unavailable
from pipeline.host.ports import LOOPBACK
from pipeline.site.consortium import LedgerLocation
from tests.support import serving

CHAIN_ID = 20260
CONTRACT = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
SEALS = rlp.encode([bytes(32), [bytes([number]) * 20 for number in range(4)], [], b"\x01", [bytes(65)] * 3])
BLOCK = {
    "number": "0x7",
    "timestamp": "0x6564d3f0",
    "hash": "0x" + "11" * 32,
    "parentHash": "0x" + "22" * 32,
    "extraData": "0x" + SEALS.hex(),
    "mixHash": "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365",
    "baseFeePerGas": "0x0",
    "transactions": [],
}


def reverted(error: str, *values: int) -> dict[str, Any]:
    """A call that a custom error ended, as Besu puts it."""
    (selector,) = (key for key, entry in contract._errors().items() if entry["name"] == error)
    return {
        "code": -32000,
        "message": "Execution reverted",
        "data": "0x" + selector + "".join(f"{value:064x}" for value in values),
    }


class Besu:
    """Answers by method; an answer with a code is an error."""

    def __init__(self, port: int) -> None:
        self.answers: dict[str, Any] = {
            "eth_chainId": hex(CHAIN_ID),
            "eth_getCode": "0x60",
            "eth_getBlockByNumber": BLOCK,
        }
        self.url = f"http://{LOOPBACK}:{port}"
        self.left = threading.Event()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = json.loads(serving.body(handler))
        answer = self.answers[asked["method"]]
        kind = "error" if isinstance(answer, dict) and "code" in answer else "result"
        raw = isinstance(answer, bytes)
        serving.reply(
            handler, answer if raw else json.dumps({"jsonrpc": "2.0", "id": asked["id"], kind: answer}).encode()
        )


@pytest.fixture
def besu() -> Iterator[Besu]:
    with serving.serving(Besu) as made:
        yield made


def ledger(besu: Besu) -> Ledger:
    return Ledger.connect(besu.url, LedgerLocation(chain_id=CHAIN_ID, contract=CONTRACT, development=False))


def test_a_block_with_validators_and_seals_in_its_extra_data_is_read(besu: Besu) -> None:
    assert ledger(besu).block_time() == 0x6564D3F0
    block: Any = rpc.connect(besu.url, CHAIN_ID).eth.get_block(7)
    assert bytes(block["proofOfAuthorityData"]) == SEALS


def test_the_chains_number_is_asked_for(besu: Besu) -> None:
    assert rpc.chain_id(besu.url) == CHAIN_ID


def test_a_custom_error_is_named_although_its_message_is_besus(besu: Besu) -> None:
    besu.answers["eth_call"] = reverted("InvalidRoundId", 7)
    with pytest.raises(ContractRefused, match="InvalidRoundId") as refused:
        ledger(besu).status(RoundId(7))
    assert refused.value.arguments == {"round": "7"}


def test_an_error_that_is_no_revert_says_what_the_chain_said(besu: Besu) -> None:
    besu.answers["eth_call"] = {"code": -32007, "message": "Sender account not authorized to send transactions"}
    with pytest.raises(Unavailable, match="not authorized to send"):
        ledger(besu).status(RoundId(7))


@pytest.mark.parametrize(
    "answer", [b"[" * 5_000_000, b'{"result":' * 2_000_000, b"<html>", b"[]"], ids=["lists", "objects", "page", "list"]
)
def test_an_answer_that_is_no_json_rpc_ends_as_no_answer(besu: Besu, answer: bytes) -> None:
    besu.answers["eth_call"] = answer
    with pytest.raises(Unavailable, match="is this the JSON-RPC of a chain"):
        ledger(besu).status(RoundId(7))
