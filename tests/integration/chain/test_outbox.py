from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.chain import outbox as outbox_module
from pipeline.chain import rpc, signed_files
from pipeline.chain.contract import Call
from pipeline.chain.ledger import Ledger
from pipeline.chain.outbox import Outbox
from pipeline.devchain.anvil import Anvil
from pipeline.domain import RoundStatus
from pipeline.errors import ContractRefused, Misconfigured, Refused, Unavailable
from pipeline.host.secret import Secret
from pipeline.site.consortium import LedgerLocation
from pipeline.site.identity import SigningKey
from tests.support.chains import CHAIN_ID, ROOT, Actors, Devchain

pytestmark = pytest.mark.anvil


@pytest.fixture
def key() -> SigningKey:
    return SigningKey(Secret.generate())


@pytest.fixture
def outbox(actors: Actors, key: SigningKey, tmp_path: Path) -> Outbox:
    """An outbox of a fresh key on the shared chain."""
    return Outbox(tmp_path, key, actors.url, CHAIN_ID)


def _nothing(key: SigningKey) -> Call:
    """A transaction without effect, which can be sent any number of times."""
    return Call("nothing", key.address, b"")


def _sent(actors: Actors, key: SigningKey, shared_chain: Devchain) -> int:
    return int(shared_chain.rpc("eth_getTransactionCount", key.address, "latest"), 16)


def _persisted(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.tx.json"))


def test_one_label_is_one_transaction(
    outbox: Outbox, actors: Actors, key: SigningKey, shared_chain: Devchain, tmp_path: Path
) -> None:
    first = outbox.send(actors.ledger.register_hospital(), "register")
    assert outbox.send(actors.ledger.register_hospital(), "register") == first
    assert Outbox(tmp_path, key, actors.url, CHAIN_ID).send(actors.ledger.register_hospital(), "register") == first
    assert _sent(actors, key, shared_chain) == 1
    assert len(_persisted(tmp_path)) == 1


def test_a_label_stands_for_one_call(outbox: Outbox, actors: Actors, key: SigningKey, shared_chain: Devchain) -> None:
    outbox.send(_nothing(key), "first")
    with pytest.raises(Refused, match="label first: got another registerHospital than the nothing"):
        outbox.send(actors.ledger.register_hospital(), "first")
    assert _sent(actors, key, shared_chain) == 1


def test_a_function_is_asked_for_its_call_only_once(outbox: Outbox, key: SigningKey) -> None:
    asked = []

    def call() -> Call:
        asked.append(1)
        return Call("nothing", key.address, bytes([len(asked)]))

    assert outbox.send(call, "once") == outbox.send(call, "once")
    assert asked == [1]


@pytest.mark.parametrize("label", ["", "a/b", "../a", "a.b", "-a", "a" * 121, "a\n"])
def test_labels_that_are_no_file_names_are_refused(outbox: Outbox, key: SigningKey, label: str) -> None:
    with pytest.raises(Misconfigured, match="label"):
        outbox.send(_nothing(key), label)


def test_a_refused_call_signs_nothing_and_leaves_its_label_free(
    outbox: Outbox, actors: Actors, key: SigningKey, shared_chain: Devchain
) -> None:
    with pytest.raises(ContractRefused) as caught:
        outbox.send(actors.ledger.authorise_hospitals([key.address]), "label")
    assert (caught.value.error, caught.value.call) == ("NotProvider", "authoriseHospitals")
    assert _sent(actors, key, shared_chain) == 0
    assert outbox.send(_nothing(key), "label").label == "label"


def test_only_the_owner_reads_the_outbox(outbox: Outbox, key: SigningKey, tmp_path: Path) -> None:
    outbox.send(_nothing(key), "label")
    files = list(tmp_path.glob("*/*.json"))
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert {path.parent.stat().st_mode & 0o777 for path in files} == {0o700}
    assert all(bytes(key.account.key).hex() not in path.read_text() for path in files)


def _send_many(folder: Path, secret: bytes, url: str, worker: int) -> list[str]:
    key = SigningKey(Secret(secret))
    outbox = Outbox(folder, key, url, CHAIN_ID)
    own = [outbox.send(_nothing(key), f"worker-{worker}-{number}").transaction for number in range(5)]
    return [outbox.send(_nothing(key), "shared").transaction, *own]


def test_eight_processes_at_once_lose_and_double_nothing(
    actors: Actors, key: SigningKey, shared_chain: Devchain, tmp_path: Path
) -> None:
    with ProcessPoolExecutor(8, mp_context=multiprocessing.get_context("fork")) as pool:
        jobs = [pool.submit(_send_many, tmp_path, bytes(key.account.key), actors.url, worker) for worker in range(8)]
        found = [job.result(timeout=120) for job in jobs]
    assert len({transactions[0] for transactions in found}) == 1
    assert len({transaction for transactions in found for transaction in transactions}) == 41
    assert _sent(actors, key, shared_chain) == 41
    assert [int(path.name.split(".")[0]) for path in _persisted(tmp_path)] == list(range(41))


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed_while_sending(folder: Path, key: SigningKey, url: str, call: Call, label: str, point: str) -> None:
    """Send in a process of its own that is killed when it comes to `point`."""

    def send() -> None:
        setattr(signed_files if point == "write_secret" else Outbox, point, _die)
        Outbox(folder, key, url, CHAIN_ID).send(call, label)

    process = multiprocessing.get_context("fork").Process(target=send)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("point", "persisted", "sent"),
    [("_sign", 0, 0), ("write_secret", 0, 0), ("_broadcast", 1, 0), ("_await", 1, 1), ("_outcome", 1, 1)],
)
def test_killed_at_any_point_a_label_still_sends_one_transaction(
    actors: Actors, key: SigningKey, shared_chain: Devchain, tmp_path: Path, point: str, persisted: int, sent: int
) -> None:
    _killed_while_sending(tmp_path, key, actors.url, _nothing(key), "label", point)
    assert (len(_persisted(tmp_path)), _sent(actors, key, shared_chain)) == (persisted, sent)
    before = [path.read_bytes() for path in _persisted(tmp_path)]
    receipt = Outbox(tmp_path, key, actors.url, CHAIN_ID).send(_nothing(key), "label")
    assert _sent(actors, key, shared_chain) == 1
    assert len(_persisted(tmp_path)) == 1
    assert all(receipt.transaction.encode() in content for content in before)


def test_what_a_killed_process_left_unsent_goes_out_before_the_next(
    actors: Actors, key: SigningKey, shared_chain: Devchain, tmp_path: Path
) -> None:
    _killed_while_sending(tmp_path, key, actors.url, _nothing(key), "left", "_broadcast")
    outbox = Outbox(tmp_path, key, actors.url, CHAIN_ID)
    following = outbox.send(_nothing(key), "following")
    assert outbox.send(_nothing(key), "left").block < following.block
    assert _sent(actors, key, shared_chain) == 2


def test_a_mined_revert_spends_its_label_and_names_the_error(shared_chain: Devchain, tmp_path: Path) -> None:
    # Keys of its own: this outbox stands in another folder than the one that the shared actors' senders use.
    actors = Actors(shared_chain.url, tmp_path / "actors")
    study = actors.new_study("own")
    node = actors.nodes[0]
    round_id = actors.open(study, commit_in=3)
    commit = actors.ledger.commit_round(round_id, ROOT)
    before = _sent(actors, node, shared_chain)
    _killed_while_sending(tmp_path, node, actors.url, commit, "commit", "_broadcast")
    actors.wait_until(actors.ledger.round(round_id).opened.commit_deadline)
    outbox = Outbox(tmp_path, node, actors.url, CHAIN_ID)
    for _ in range(2):
        with pytest.raises(ContractRefused) as caught:
            outbox.send(commit, "commit")
        assert (caught.value.error, caught.value.arguments["round"]) == ("DeadlinePassed", str(round_id))
    assert _sent(actors, node, shared_chain) == before + 1
    assert actors.ledger.status(round_id) is RoundStatus.OPEN


def test_a_key_used_elsewhere_is_noticed(outbox: Outbox, actors: Actors, key: SigningKey, tmp_path: Path) -> None:
    outbox.send(_nothing(key), "here")
    Outbox(tmp_path / "elsewhere", key, actors.url, CHAIN_ID).send(_nothing(key), "elsewhere")
    with pytest.raises(Refused, match="got 2 transactions on the chain, but the outbox knows 1"):
        outbox.send(_nothing(key), "again")
    assert outbox.send(_nothing(key), "here").label == "here"


def test_a_nonce_that_another_transaction_spent_is_noticed(actors: Actors, key: SigningKey, tmp_path: Path) -> None:
    _killed_while_sending(tmp_path, key, actors.url, _nothing(key), "unsent", "_broadcast")
    other = Call("other", key.address, b"\x01")
    Outbox(tmp_path / "elsewhere", key, actors.url, CHAIN_ID).send(other, "elsewhere")
    with pytest.raises(
        Refused, match=r"label unsent: nonce 0 of .* was spent by a transaction that this outbox did not sign"
    ):
        Outbox(tmp_path, key, actors.url, CHAIN_ID).send(_nothing(key), "unsent")


def test_an_older_copy_of_the_chain_is_refused(fresh_chain: Devchain, key: SigningKey, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", key, fresh_chain.url, CHAIN_ID)
    outbox.send(_nothing(key), "first")
    fresh_chain.kill_supervisor()
    shutil.copytree(fresh_chain.home, tmp_path / "copy")
    fresh_chain.start()
    outbox.send(_nothing(key), "second")
    fresh_chain.kill_supervisor()
    shutil.rmtree(fresh_chain.home)
    shutil.copytree(tmp_path / "copy", fresh_chain.home)
    fresh_chain.start()
    for label in ("second", "third"):
        with pytest.raises(Refused, match=r"block 2 is none, .*lost blocks that it had acknowledged"):
            outbox.send(_nothing(key), label)
    assert int(fresh_chain.rpc("eth_getTransactionCount", key.address, "latest"), 16) == 1


def test_a_chain_created_anew_is_refused(fresh_chain: Devchain, key: SigningKey, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox", key, fresh_chain.url, CHAIN_ID)
    outbox.send(_nothing(key), "first")
    fresh_chain.kill_supervisor()
    shutil.rmtree(fresh_chain.home)
    fresh_chain.start()
    for label in ("first", "second"):
        with pytest.raises(Refused, match=r"the chain (was created anew|lost blocks)"):
            outbox.send(_nothing(key), label)


def test_a_chain_that_is_down_is_unavailable_and_the_label_sends_later(
    fresh_chain: Devchain, key: SigningKey, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path / "outbox", key, fresh_chain.url, CHAIN_ID)
    _killed_while_sending(tmp_path / "outbox", key, fresh_chain.url, _nothing(key), "label", "_broadcast")
    fresh_chain.kill_supervisor()
    with pytest.raises(Unavailable):
        outbox.send(_nothing(key), "label", timeout=0.5)
    fresh_chain.start()
    assert outbox.send(_nothing(key), "label").block == 1


def test_a_transaction_that_is_not_mined_yet_is_resent_and_never_signed_again(key: SigningKey, tmp_path: Path) -> None:
    home = tmp_path / "anvil"
    home.mkdir()
    # Without its supervisor anvil takes transactions but mines none, like a chain that stands still.
    anvil = Anvil.start(home, CHAIN_ID, int(time.time()), None)
    try:
        outbox = Outbox(tmp_path / "outbox", key, anvil.url, CHAIN_ID)
        for label in ("first", "second", "first"):
            with pytest.raises(Unavailable, match=f"label {label}: 0x[0-9a-f]+ was not mined within"):
                outbox.send(_nothing(key), label, timeout=3)
        anvil.call("evm_mine")
        assert [outbox.send(_nothing(key), label).block for label in ("first", "second")] == [1, 1]
        assert len(_persisted(tmp_path / "outbox")) == 2
    finally:
        anvil.kill()
        anvil.wait()


def test_copies_of_sends_that_arrive_in_any_order_are_mined_once(key: SigningKey, tmp_path: Path) -> None:
    home = tmp_path / "anvil"
    labels = ("first", "second", "third")
    home.mkdir()
    anvil = Anvil.start(home, CHAIN_ID, int(time.time()), None)
    try:
        outbox = Outbox(tmp_path / "outbox", key, anvil.url, CHAIN_ID)
        for label in labels:
            with pytest.raises(Unavailable, match="was not mined"):
                outbox.send(_nothing(key), label, timeout=0.1)
        anvil.call("anvil_dropAllTransactions")
        raw = ["0x" + json.loads(path.read_bytes())["raw"] for path in _persisted(tmp_path / "outbox")]
        for one in reversed(raw):
            anvil.call("eth_sendRawTransaction", one)
        for label in reversed(labels):
            with pytest.raises(Unavailable, match="was not mined"):
                outbox.send(_nothing(key), label, timeout=0.1)
        anvil.call("evm_mine")
        receipts = [outbox.send(_nothing(key), label) for label in reversed(labels)]
        assert len({receipt.transaction for receipt in receipts}) == len(labels)
        assert int(anvil.call("eth_getTransactionCount", key.address, "latest"), 16) == len(labels)
    finally:
        anvil.kill()
        anvil.wait()


def test_a_chain_that_hangs_in_the_middle_of_a_send_takes_it_once_when_it_goes_on(
    fresh_chain: Devchain, key: SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_RESEND_SECONDS", 0.1)
    outbox = Outbox(tmp_path, key, fresh_chain.url, CHAIN_ID)
    broadcast = Outbox._broadcast
    supervisor = fresh_chain.process
    waking = []
    assert supervisor is not None

    def into_a_hang(self: Outbox, entry: Any) -> None:
        if not waking:
            supervisor.send_signal(signal.SIGSTOP)
            with monkeypatch.context() as impatient:
                impatient.setattr(rpc, "_TIMEOUT_SECONDS", 1)
                self._web3 = rpc._client(fresh_chain.url, None)
            # Long enough for many copies of the same bytes to lie in the socket when the chain goes on.
            waking.append(threading.Timer(4, supervisor.send_signal, (signal.SIGCONT,)))
            waking[0].start()
        broadcast(self, entry)

    monkeypatch.setattr(Outbox, "_broadcast", into_a_hang)
    receipt = outbox.send(_nothing(key), "label")
    waking[0].join()
    later = Outbox(tmp_path, key, fresh_chain.url, CHAIN_ID).send(_nothing(key), "later")
    assert later.block > receipt.block
    assert int(fresh_chain.rpc("eth_getTransactionCount", key.address, "latest"), 16) == 2


def test_the_ledger_reads_the_same_after_a_crash(fresh_chain: Devchain, tmp_path: Path) -> None:
    actors = Actors(fresh_chain.url, tmp_path / "outbox")
    study = actors.new_study("crash")
    round_id = actors.committed(study)
    result = actors.result(round_id)
    actors.send(actors.provider, actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes[1:])))
    before = actors.ledger.rounds()
    fresh_chain.kill_anvil()
    location = LedgerLocation(chain_id=CHAIN_ID, contract=actors.contract, development=True)
    after = Ledger.connect(fresh_chain.url, location)
    assert after.rounds() == before
    assert after.study(study).current_model == result.new_model
