"""Transactions that a chain does not mine: replaced under their nonce or given up, on an anvil that mines when told."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.chain import outbox as outbox_module
from pipeline.chain.contract import Call
from pipeline.chain.outbox import Outbox
from pipeline.chain.signed_files import SignedFiles, waiting
from pipeline.devchain.anvil import Anvil
from pipeline.errors import Refused, Unavailable
from pipeline.host.secret import Secret
from pipeline.site.identity import SigningKey
from tests.support.chains import CHAIN_ID

pytestmark = pytest.mark.anvil


@pytest.fixture(scope="module")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    """Takes transactions and mines none by itself, like a chain that stands still or does not want them."""
    anvil = Anvil.start(tmp_path_factory.mktemp("anvil"), CHAIN_ID, int(time.time()), None)
    yield anvil
    anvil.kill()
    anvil.wait()


@pytest.fixture
def key(anvil: Anvil) -> SigningKey:
    """With a balance, as on a chain with fees."""
    made = SigningKey(Secret.generate())
    anvil.call("anvil_setBalance", made.address, hex(10**18))
    return made


@pytest.fixture
def outbox(anvil: Anvil, key: SigningKey, tmp_path: Path) -> Outbox:
    return Outbox(tmp_path, key, anvil.url, CHAIN_ID)


def call(key: SigningKey, data: bytes = b"\x01") -> Call:
    return Call("something", key.address, data)


def stuck(outbox: Outbox, key: SigningKey, label: str = "label") -> None:
    with pytest.raises(Unavailable, match=f"label {label}: .*`wardround ledger waiting` says what to do"):
        outbox.send(call(key), label, timeout=0.1)


def mined(anvil: Anvil) -> list[dict[str, Any]]:
    """The transactions of the block that is mined now."""
    anvil.call("evm_mine")
    found: list[dict[str, Any]] = anvil.call("eth_getBlockByNumber", "latest", True)["transactions"]
    return found


def test_what_waits_is_listed_until_it_is_mined(anvil: Anvil, outbox: Outbox, key: SigningKey, tmp_path: Path) -> None:
    before = time.time()
    stuck(outbox, key)
    stuck(outbox, key, "second")
    one, other = waiting(tmp_path)
    assert (one.label, one.nonce, one.name, one.price, one.signed, one.given_up) == (
        *("label", 0, "something", 0, 1),
        False,
    )
    assert (one.sender, other.label, other.nonce) == (key.address, "second", 1)
    assert before - 1 <= one.since <= time.time()
    mined(anvil)
    outbox.settle()
    assert waiting(tmp_path) == []


def test_a_replacement_is_mined_in_its_place_and_the_label_has_its_receipt(
    anvil: Anvil, outbox: Outbox, key: SigningKey, tmp_path: Path
) -> None:
    stuck(outbox, key)
    stuck(outbox, key, "later")
    assert [outbox.replace("label"), outbox.replace("label")] == [10**9, 10**9 * 9 // 8 + 1]
    assert outbox.replace("label", 3 * 10**9) == 3 * 10**9
    assert [(one.label, one.price, one.signed) for one in waiting(tmp_path)] == [
        ("label", 3 * 10**9, 4),
        ("later", 0, 1),
    ]
    done = mined(anvil)
    assert [(int(one["nonce"], 16), int(one["gasPrice"], 16), one["input"]) for one in done] == [
        (0, 3 * 10**9, "0x01"),
        (1, 0, "0x01"),
    ]
    receipt = outbox.send(call(key), "label")
    assert receipt.transaction == done[0]["hash"]
    assert (
        outbox.send(call(key), "label")
        == receipt
        == Outbox(tmp_path, key, anvil.url, CHAIN_ID).send(call(key), "label")
    )
    assert outbox.send(call(key), "later").transaction == done[1]["hash"]


def test_the_former_one_may_be_mined_yet_and_counts(
    anvil: Anvil, outbox: Outbox, key: SigningKey, tmp_path: Path
) -> None:
    stuck(outbox, key)
    former = json.loads(next(tmp_path.glob("*/*.label.tx.json")).read_bytes())
    anvil.call("anvil_dropAllTransactions")
    outbox.give_up("label", 7)
    anvil.call("anvil_dropAllTransactions")
    anvil.call("eth_sendRawTransaction", "0x" + former["raw"])
    mined(anvil)
    assert outbox.send(call(key), "label").transaction == former["transaction"]
    assert waiting(tmp_path) == []


def test_what_is_given_up_spends_its_nonce_alone_and_frees_its_label(
    anvil: Anvil, outbox: Outbox, key: SigningKey, tmp_path: Path
) -> None:
    stuck(outbox, key)
    stuck(outbox, key, "later")
    outbox.give_up("label")
    assert [one.given_up for one in waiting(tmp_path)] == [True, False]
    done = mined(anvil)
    assert [(one["input"], one["to"]) for one in done] == [("0x", key.address.lower()), ("0x01", key.address.lower())]
    with pytest.raises(Refused, match=r"its something was given up in block .*; run again"):
        Outbox(tmp_path, key, anvil.url, CHAIN_ID)._outcome(*_of(outbox, "label"))
    assert outbox.send(call(key), "later").transaction == done[1]["hash"]
    # Another call under the label that is free again.
    with pytest.raises(Unavailable):
        outbox.send(call(key, b"\x02"), "label", timeout=0.1)
    (again,) = mined(anvil)
    assert (int(again["nonce"], 16), again["input"]) == (2, "0x02")
    assert outbox.send(call(key, b"\x02"), "label").transaction == again["hash"]


def _of(outbox: Outbox, label: str) -> tuple[Any, Any]:
    outbox.settle()
    slot = next(slot for slot in outbox._files.slots() if slot.label == label)
    settled = outbox._files.mined(slot.nonce, label)
    assert settled is not None
    return outbox._files.first(slot), settled


def test_whoever_waits_for_what_is_given_up_is_told(anvil: Anvil, outbox: Outbox, key: SigningKey) -> None:
    stuck(outbox, key)
    outbox.give_up("label")
    mined(anvil)
    # It lay unsettled, as for a step that was asking meanwhile.
    with pytest.raises(Refused, match="run again: the call is signed anew"):
        outbox._outcome(*_of(outbox, "label"))


def test_without_a_balance_a_waiting_one_is_not_replaced_and_not_lost(anvil: Anvil, tmp_path: Path) -> None:
    """A chain without fees: "underpriced" at no price, and no funds for another one."""
    poor = SigningKey(Secret.generate())
    outbox = Outbox(tmp_path, poor, anvil.url, CHAIN_ID)
    stuck(outbox, poor)
    for attempt in (outbox.replace, outbox.give_up):
        with pytest.raises(Refused, match=r"insufficient funds|underpriced") as caught:
            attempt("label")
        assert "what waited still waits" in str(caught.value)
    assert [(one.label, one.given_up) for one in waiting(tmp_path)] == [("label", True)]
    # Its operators empty the pool, and the same command is given.
    anvil.call("anvil_dropAllTransactions")
    assert outbox.give_up("label", 0) == 0
    (done,) = mined(anvil)
    assert (done["input"], int(done["gasPrice"], 16)) == ("0x", 0)
    outbox.settle()
    assert waiting(tmp_path) == []


def test_a_price_that_the_chain_does_not_take_loses_nothing(anvil: Anvil, tmp_path: Path) -> None:
    poor = SigningKey(Secret.generate())
    outbox = Outbox(tmp_path, poor, anvil.url, CHAIN_ID)
    stuck(outbox, poor)
    with pytest.raises(Refused, match="insufficient funds"):
        outbox.replace("label", 5)
    # The pool forgets, and the first one is offered again behind the one that it does not take.
    anvil.call("anvil_dropAllTransactions")
    outbox.settle()
    (done,) = mined(anvil)
    assert (done["input"], int(done["gasPrice"], 16)) == ("0x01", 0)
    assert outbox.send(call(poor), "label").transaction == done["hash"]


@pytest.mark.parametrize("what", ["replace", "give_up"])
@pytest.mark.parametrize("point", ["persist_instead", "_offer"])
def test_killed_in_between_one_of_both_is_mined_and_the_label_knows_which(
    anvil: Anvil, outbox: Outbox, key: SigningKey, tmp_path: Path, what: str, point: str
) -> None:
    stuck(outbox, key)

    def killed() -> None:
        def die(*_: Any) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(SignedFiles if point == "persist_instead" else Outbox, point, die)
        getattr(Outbox(tmp_path, key, anvil.url, CHAIN_ID), what)("label", 9)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert [one.signed for one in waiting(tmp_path)] == [1 if point == "persist_instead" else 2]
    # What was persisted goes out with whatever the key sends next.
    stuck(outbox, key, "later")
    done = mined(anvil)
    assert len(done) == 2
    took_over = point == "_offer"
    assert int(done[0]["gasPrice"], 16) == (9 if took_over else 0)
    if took_over and what == "give_up":
        with pytest.raises(Refused, match="was given up"):
            outbox._outcome(*_of(outbox, "label"))
    else:
        assert outbox.send(call(key), "label").transaction == done[0]["hash"]
    assert outbox.send(call(key), "later").transaction == done[1]["hash"]
    assert waiting(tmp_path) == []


def test_nothing_that_does_not_wait_is_replaced(anvil: Anvil, outbox: Outbox, key: SigningKey) -> None:
    stuck(outbox, key)
    mined(anvil)
    for label in ("label", "never"):
        for attempt in (outbox.replace, outbox.give_up):
            with pytest.raises(Refused, match=f"label {label}: got nothing of {key.address} that waits"):
                attempt(label)


def test_who_is_waiting_takes_the_receipt_of_the_replacement(
    anvil: Anvil, outbox: Outbox, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process waits in a step while its owner replaces what it waits for."""
    monkeypatch.setattr(outbox_module, "_RESEND_SECONDS", 0.1)
    asked = []
    offer = Outbox._broadcast

    def replaced(self: Outbox, entry: Any) -> None:
        offer(self, entry)
        asked.append(1)
        if len(asked) == 2:
            self.replace("label", 11)
            anvil.call("evm_mine")

    monkeypatch.setattr(Outbox, "_broadcast", replaced)
    receipt = outbox.send(call(key), "label", timeout=30)
    got = anvil.call("eth_getTransactionByHash", receipt.transaction)
    assert int(got["gasPrice"], 16) == 11
