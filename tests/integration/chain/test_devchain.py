from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from pipeline.chain.outbox import Outbox
from pipeline.host import ports
from pipeline.host.secret import Secret
from pipeline.site.identity import SigningKey
from pipeline.site.settings import PROJECT
from tests.adversary import attack
from tests.support.chains import CHAIN_ID, Actors, Devchain

pytestmark = pytest.mark.anvil


def _signed(key: SigningKey, nonce: int) -> str:
    content = {"to": key.address, "value": 0, "nonce": nonce, "gas": 21_000, "gasPrice": 0, "chainId": CHAIN_ID}
    return key.account.sign_transaction(content).raw_transaction.to_0x_hex()


def _post(chain: Devchain, body: bytes) -> dict[str, object]:
    answer = httpx.post(chain.url, content=body, timeout=60, trust_env=False).json()
    assert isinstance(answer, dict)
    return answer


@pytest.fixture
def key() -> SigningKey:
    return SigningKey(Secret.generate())


def _gone(pid: int) -> bool:
    for _ in range(200):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_it_names_itself_a_development_chain_and_offers_no_accounts(fresh_chain: Devchain) -> None:
    assert fresh_chain.rpc("web3_clientVersion").startswith("WardroundDevelopmentChain/anvil/")
    assert "can rewrite it" in httpx.get(fresh_chain.url, trust_env=False).json()["warning"]
    assert _post(fresh_chain, b'{"id": 1, "method": "eth_accounts", "params": []}')["error"]
    assert _post(fresh_chain, b'[{"id": 1, "method": "eth_blockNumber", "params": []}]')["error"]


@attack(
    by="stranger",
    to="stop",
    tries="to fill the memory of the chain's filter by one request",
    costs="nothing",
    seen="nothing: 413",
)
def test_an_oversized_request_is_refused(fresh_chain: Devchain) -> None:
    assert httpx.post(fresh_chain.url, content=b" " * (2 << 20), trust_env=False).status_code == 413


def test_kill_9_of_anvil_loses_no_acknowledged_transaction(fresh_chain: Devchain, key: SigningKey) -> None:
    sent = [fresh_chain.rpc("eth_sendRawTransaction", _signed(key, nonce)) for nonce in range(5)]
    blocks = fresh_chain.blocks()
    sent.append(fresh_chain.rpc("eth_sendRawTransaction", _signed(key, 5)))
    fresh_chain.kill_anvil()  # right after the acknowledgement: any request between would save the state
    assert fresh_chain.blocks()[:-1] == blocks
    assert [fresh_chain.rpc("eth_getTransactionReceipt", transaction)["status"] for transaction in sent] == ["0x1"] * 6
    assert fresh_chain.rpc("eth_sendRawTransaction", _signed(key, 6))


def test_the_genesis_and_the_clock_survive_restarts(fresh_chain: Devchain, key: SigningKey) -> None:
    genesis = fresh_chain.blocks()[0]
    for nonce in range(4):
        time.sleep(1.1)  # a genesis made anew would carry another second
        fresh_chain.kill_anvil()
        fresh_chain.rpc("eth_sendRawTransaction", _signed(key, nonce))
        assert fresh_chain.blocks()[0] == genesis
        mined, pending = (
            int(fresh_chain.rpc("eth_getBlockByNumber", block, False)["timestamp"], 16)
            for block in ("latest", "pending")
        )
        assert abs(mined - time.time()) < 60
        assert pending >= mined


def test_kill_9_of_the_supervisor_takes_anvil_along_and_loses_nothing(fresh_chain: Devchain, key: SigningKey) -> None:
    sent = [fresh_chain.rpc("eth_sendRawTransaction", _signed(key, nonce)) for nonce in range(3)]
    blocks = fresh_chain.blocks()
    anvil = fresh_chain.anvil_pid()
    fresh_chain.kill_supervisor()
    assert _gone(anvil)
    fresh_chain.start()
    assert fresh_chain.blocks() == blocks
    assert all(fresh_chain.rpc("eth_getTransactionReceipt", transaction) for transaction in sent)


def test_sigterm_ends_both_with_status_0(fresh_chain: Devchain) -> None:
    anvil = fresh_chain.anvil_pid()
    assert fresh_chain.stop() == 0
    assert _gone(anvil)
    fresh_chain.start()


def test_anvil_killed_again_and_again_loses_and_doubles_nothing(fresh_chain: Devchain, key: SigningKey) -> None:
    kills = []
    for nonce in range(30):
        if nonce % 8 == 4:  # somewhere between handing over, mining, saving and the next transaction
            kills.append(threading.Timer(0.005 * len(kills) + 0.002, fresh_chain.kill_anvil))
            kills[-1].start()
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [_signed(key, nonce)]}
        while "result" not in _post(fresh_chain, json.dumps(request).encode()):
            time.sleep(0.05)  # an error answer acknowledges nothing: send the same bytes again
    for kill in kills:
        kill.join()
    fresh_chain.wait_ready()
    assert int(fresh_chain.rpc("eth_getTransactionCount", key.address, "latest"), 16) == 30
    blocks = [
        fresh_chain.rpc("eth_getBlockByNumber", hex(number), False) for number in range(len(fresh_chain.blocks()))
    ]
    assert sum(len(block["transactions"]) for block in blocks) == 30
    assert all(block["parentHash"] == parent["hash"] for parent, block in itertools.pairwise(blocks))


def test_sending_the_same_bytes_again_gives_the_same_hash_and_no_block(fresh_chain: Devchain, key: SigningKey) -> None:
    first = fresh_chain.rpc("eth_sendRawTransaction", _signed(key, 0))
    height = fresh_chain.rpc("eth_blockNumber")
    assert fresh_chain.rpc("eth_sendRawTransaction", _signed(key, 0)) == first
    assert fresh_chain.rpc("eth_blockNumber") == height


def test_a_transaction_out_of_order_is_not_acknowledged(fresh_chain: Devchain, key: SigningKey) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [_signed(key, 1)]}
    assert "nonce too high" in str(_post(fresh_chain, json.dumps(request).encode())["error"])
    fresh_chain.rpc("eth_sendRawTransaction", _signed(key, 0))
    assert fresh_chain.rpc("eth_sendRawTransaction", _signed(key, 1))


@pytest.mark.parametrize("params", [[], ["0x"], ["0xzz"], ["f8"], [7], ["0x" + "00" * 40]])
def test_bytes_that_are_no_transaction_are_refused(fresh_chain: Devchain, params: list[object]) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": params}
    assert "error" in _post(fresh_chain, json.dumps(request).encode())
    assert fresh_chain.rpc("eth_blockNumber") == "0x0"


def test_a_transaction_that_cannot_be_saved_is_neither_acknowledged_nor_seen(
    fresh_chain: Devchain, key: SigningKey
) -> None:
    aside = fresh_chain.home.with_name("aside")
    fresh_chain.home.rename(aside)
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [_signed(key, 0)]}
    fresh_chain.home.touch()  # a file where the folder was: nothing can be written there
    assert "could not be saved" in str(_post(fresh_chain, json.dumps(request).encode())["error"])
    assert "could not be saved" in str(
        _post(fresh_chain, b'{"id": 1, "method": "eth_blockNumber", "params": []}')["error"]
    )
    fresh_chain.home.unlink()
    aside.rename(fresh_chain.home)
    transaction = fresh_chain.rpc("eth_sendRawTransaction", _signed(key, 0))
    fresh_chain.kill_anvil()
    assert fresh_chain.rpc("eth_getTransactionReceipt", transaction)["status"] == "0x1"


def test_a_crash_between_the_two_state_files_loses_nothing(fresh_chain: Devchain, key: SigningKey) -> None:
    fresh_chain.rpc("eth_sendRawTransaction", _signed(key, 0))
    blocks = fresh_chain.blocks()
    fresh_chain.kill_supervisor()
    (fresh_chain.home / "state.json").rename(fresh_chain.home / "state.previous.json")
    fresh_chain.start()
    assert fresh_chain.blocks() == blocks


def test_a_damaged_state_falls_back_to_the_one_before_and_the_outbox_notices(
    fresh_chain: Devchain, tmp_path: Path
) -> None:
    actors = Actors(fresh_chain.url, tmp_path / "outbox")
    actors.send(actors.provider, actors.ledger.register_hospital())
    fresh_chain.kill_supervisor()
    state = fresh_chain.home / "state.json"
    state.write_bytes(state.read_bytes()[:-100])
    fresh_chain.start()
    assert len(fresh_chain.blocks()) == 2
    with pytest.raises(Exception, match="lost blocks that it had acknowledged"):
        actors.send(actors.provider, actors.ledger.register_hospital())


def _failed_start(home: Path, port: int, *more: str) -> str:
    command = [sys.executable, "-m", "pipeline.devchain.devchain", "--home", str(home), "--port", str(port), *more]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    return ended.stderr


def test_two_chains_in_one_folder_are_refused(fresh_chain: Devchain) -> None:
    assert "runs in this folder already" in _failed_start(fresh_chain.home, ports.choose())


def test_a_port_that_is_taken_is_named(fresh_chain: Devchain, tmp_path: Path) -> None:
    assert f"port {fresh_chain.port} on 127.0.0.1" in _failed_start(tmp_path / "other", fresh_chain.port)


def test_a_chain_keeps_its_id(fresh_chain: Devchain) -> None:
    assert fresh_chain.stop() == 0
    assert "a chain keeps its id" in _failed_start(fresh_chain.home, fresh_chain.port, "--chain-id", "7")
    fresh_chain.start()


def test_a_chain_whose_state_is_gone_does_not_start_empty(fresh_chain: Devchain, key: SigningKey) -> None:
    fresh_chain.rpc("eth_sendRawTransaction", _signed(key, 0))
    assert fresh_chain.stop() == 0
    for name in ("state.json", "state.previous.json"):
        (fresh_chain.home / name).rename(fresh_chain.home / f"{name}.aside")
    assert "no whole state of the chain" in _failed_start(fresh_chain.home, fresh_chain.port)
    for name in ("state.json", "state.previous.json"):
        (fresh_chain.home / f"{name}.aside").rename(fresh_chain.home / name)
    fresh_chain.start()


def test_the_outbox_rides_out_a_restart(fresh_chain: Devchain, tmp_path: Path) -> None:
    actors = Actors(fresh_chain.url, tmp_path / "outbox")
    outbox: Outbox = actors.outbox(actors.stranger)
    fresh_chain.kill_anvil()
    assert outbox.send(actors.ledger.register_hospital(), "register").block == len(fresh_chain.blocks()) - 1
