from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.devchain.devchain import ALLOWED, DevelopmentChain


@pytest.fixture
def chain(tmp_path: Path) -> DevelopmentChain:
    return DevelopmentChain(tmp_path, 31337)


def _ask(chain: DevelopmentChain, **request: object) -> dict[str, object]:
    error = chain.answer(json.dumps(request).encode())["error"]
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize(
    "method",
    [
        "anvil_setBalance",
        "anvil_impersonateAccount",
        "anvil_dumpState",
        "anvil_loadState",
        "evm_mine",
        "evm_revert",
        "evm_increaseTime",
        "hardhat_setCode",
        "debug_traceTransaction",
        "txpool_content",
        "eth_accounts",
        "eth_sendTransaction",
        "eth_sendUnsignedTransaction",
        "eth_sign",
        "eth_signTransaction",
        "eth_signTypedData_v4",
        "eth_newFilter",
        "ETH_CALL",
        "eth_call ",
        "",
    ],
)
def test_methods_off_the_list_are_not_offered(chain: DevelopmentChain, method: str) -> None:
    assert _ask(chain, id=1, method=method, params=[])["code"] == -32601


def test_nothing_that_rewrites_or_signs_is_on_the_list() -> None:
    assert not [method for method in ALLOWED if not method.startswith(("eth_", "net_", "web3_"))]
    assert not [method for method in ALLOWED if "sign" in method.lower() or "account" in method.lower()]
    assert [method for method in ALLOWED if "send" in method.lower()] == ["eth_sendRawTransaction"]


def test_a_batch_is_refused_whole(chain: DevelopmentChain) -> None:
    batch = json.dumps([{"id": 1, "method": "eth_blockNumber"}, {"id": 2, "method": "anvil_setBalance"}]).encode()
    answer = chain.answer(batch)
    assert answer["error"]["code"] == -32600
    assert "batches" in answer["error"]["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"null", b"7", b'"eth_call"', b"{}", b"[" * 900_000, b'{"method": ["eth_call"]}']
)
def test_what_is_no_request_is_refused(chain: DevelopmentChain, body: bytes) -> None:
    assert chain.answer(body)["error"]["code"] in (-32700, -32600)


@pytest.mark.parametrize("request_id", [[1], {"a": 1}, 1.5])
def test_ids_of_other_types_are_refused(chain: DevelopmentChain, request_id: object) -> None:
    assert _ask(chain, id=request_id, method="eth_blockNumber", params=[])["code"] == -32600


def test_the_last_of_two_methods_in_one_request_counts(chain: DevelopmentChain) -> None:
    answer = chain.answer(b'{"id": 1, "method": "eth_blockNumber", "method": "anvil_setBalance", "params": []}')
    assert answer["error"]["code"] == -32601


def test_it_names_itself_a_development_chain(chain: DevelopmentChain) -> None:
    assert "development" in str(chain.status["warning"])
    assert "Development" in str(chain.status["name"])
