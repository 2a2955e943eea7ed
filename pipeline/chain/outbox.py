"""One sender per key: every transaction is signed once, kept on disk before it is sent, and only ever resent.

A label names one intention for ever. Sending under a label again, after whatever crash, resends the very same bytes or
finds their receipt. A call that the contract would refuse is found out before anything is signed and leaves the label
free; a transaction that was mined and reverted spends its label: the same refusal is raised each time, and another
attempt, if the ledger's state still asks for one, takes another label.

Files, per chain and key (mode 600, never changed once written):
  <nonce>.<label>.tx.json        the signed bytes, their hash, the call, the chain's genesis
  <nonce>.<label>.receipt.json   block, block hash, gas, the refusal if it reverted
  restored                       the folder came back from a backup: the key's later transactions are missed once
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eth_typing import HexStr
from hexbytes import HexBytes
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3RPCError
from web3.types import TxParams, TxReceipt, Wei

from pipeline.chain import rpc
from pipeline.chain.contract import Call, refusal
from pipeline.domain import Address
from pipeline.errors import ContractRefused, Misconfigured, Refused, Unavailable
from pipeline.host.files import locked, write_secret
from pipeline.site.identity import SigningKey

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,119}")
_ALREADY_THERE = ("already imported", "already known", "known transaction")
_RESTORED = "restored"
_RESEND_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Receipt:
    """A mined transaction: hash (0x), block number and hash (0x), gas used, the contract that it created."""

    label: str
    transaction: str
    block: int
    block_hash: str
    gas_used: int
    contract: Address | None


@dataclass(frozen=True)
class _Signed:
    """A transaction as persisted before it was sent."""

    label: str
    nonce: int
    name: str
    to: Address | None
    data: str
    raw: str
    transaction: str
    genesis: str


@dataclass(frozen=True)
class _Slot:
    """What a file's name tells about a transaction."""

    nonce: int
    label: str
    settled: bool


@dataclass(frozen=True)
class _Mined:
    """What became of it."""

    block: int
    block_hash: str
    gas_used: int
    contract: Address | None
    refused: Mapping[str, Any] | None


def mark_restored(folder: Path) -> None:
    """Note in all outboxes of an actor's `folder` that they came back from a backup, which may be old."""
    for outbox in folder.glob("*/"):
        write_secret(outbox / _RESTORED, b"")


class Outbox:
    """Sends the transactions of one key on one chain, from any number of processes that share `folder`."""

    def __init__(
        self, folder: Path, key: SigningKey, rpc_url: str, chain_id: int, authority: Path | None = None
    ) -> None:
        self.address = key.address
        self._key = key
        self._chain_id = chain_id
        self._folder = folder / f"{chain_id}-{key.address}"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._web3 = rpc.connect(rpc_url, chain_id, authority)

    def send(self, call: Call | Callable[[], Call], label: str, *, timeout: float = 120) -> Receipt:
        """Send `call` once under `label` and wait until it is mined; the same label gives the same receipt for ever.

        A function in place of a call is asked only when the label is new: for calls that hold times or other things
        that a rerun would choose differently. Raises ContractRefused when the contract reverts, Refused when the label
        stands for another call or the chain is not the one that the outbox knows, Unavailable when nothing was mined
        within `timeout` seconds.
        """
        if not _LABEL.fullmatch(label):
            raise Misconfigured(f"label {label!r}: want up to 120 letters, digits, hyphens, colons and underscores")
        with locked(self._folder / "lock"):
            signed = self._prepare(call, label)
        return self._outcome(signed, self._await(signed, timeout))

    def _prepare(self, call: Call | Callable[[], Call], label: str) -> _Signed:
        """The label's transaction, signed and persisted now if it is new, with all before it sent; the lock is held."""
        slots = self._slots()
        self._check_chain(slots)
        self._send_unsettled(slots)
        earlier = next((slot for slot in slots if slot.label == label), None)
        if earlier is not None:
            signed = self._signed(earlier)
            if isinstance(call, Call) and (call.to, call.data.hex()) != (signed.to, signed.data):
                raise Refused(
                    f"label {label}: got another {call.name} than the {signed.name} it was first used for; choose"
                    " another label"
                )
            return signed
        signed = self._sign(call if isinstance(call, Call) else call(), label, self._next_nonce(slots))
        # From here on the transaction may be mined, whatever happens to this process.
        write_secret(self._file(signed.nonce, label, "tx"), json.dumps(asdict(signed)).encode())
        (self._folder / _RESTORED).unlink(missing_ok=True)
        self._send_unsettled([_Slot(signed.nonce, label, settled=False)])
        return signed

    def _sign(self, call: Call, label: str, nonce: int) -> _Signed:
        wanted: TxParams = {"value": Wei(0), "data": HexStr("0x" + call.data.hex()), "chainId": self._chain_id}
        if call.to is not None:
            wanted["to"] = self._web3.to_checksum_address(call.to)
        with rpc.border(call.name):
            # The pending block: its time, unlike the latest block's, is now.
            gas = self._web3.eth.estimate_gas(
                {**wanted, "from": self._web3.to_checksum_address(self.address)}, "pending"
            )
            genesis = self._genesis()
        # The state may have moved a little when the transaction is mined.
        complete: dict[str, Any] = {**wanted, "nonce": nonce, "gas": gas + gas // 4, "gasPrice": 0}
        done = self._key.account.sign_transaction(complete)
        raw = bytes(done.raw_transaction).hex()
        return _Signed(label, nonce, call.name, call.to, call.data.hex(), raw, done.hash.to_0x_hex(), genesis)

    def _next_nonce(self, slots: list[_Slot]) -> int:
        with rpc.border("transaction count"):
            mined = int(self._web3.eth.get_transaction_count(self._web3.to_checksum_address(self.address)))
        nonce = slots[-1].nonce + 1 if slots else mined
        if mined > nonce and (self._folder / _RESTORED).exists():
            return mined
        if mined > nonce:
            raise Refused(
                f"{self.address}: got {mined} transactions on the chain, but the outbox knows {nonce}; the key was used"
                " elsewhere, or the outbox is an old copy: stop the other sender, then move this outbox folder away"
            )
        return nonce

    # -------------------------------------------------------------- the chain

    def _check_chain(self, slots: list[_Slot]) -> None:
        """Refuse a chain that is not the one on which the newest receipt was seen."""
        if not slots:
            return
        recorded_genesis = self._signed(slots[-1]).genesis
        with rpc.border("genesis block"):
            genesis = self._genesis()
        if genesis != recorded_genesis:
            raise Refused(
                f"the chain's genesis is {genesis}, but this outbox was used on {recorded_genesis}: the chain was"
                " created anew; restore it, or start with a new installation"
            )
        settled = next((slot for slot in reversed(slots) if slot.settled), None)
        newest = self._mined(settled.nonce, settled.label) if settled else None
        if newest is None:
            return
        with rpc.border(f"block {newest.block}"):
            present = self._web3.eth.block_number >= newest.block
            got = self._web3.eth.get_block(newest.block)["hash"].to_0x_hex() if present else "none"
        if got != newest.block_hash:
            raise Refused(
                f"block {newest.block} is {got}, but this outbox saw {newest.block_hash} there: the chain lost blocks"
                " that it had acknowledged (an older copy was restored, or its operator rewrote it); restore the"
                " newest state of the chain"
            )

    def _send_unsettled(self, slots: list[_Slot]) -> None:
        """Hand every transaction without a receipt to the chain, oldest first.

        No nonce is missing then before a later one.
        """
        for signed in (self._signed(slot) for slot in slots if not slot.settled):
            try:
                if self._look_up(signed) is None:
                    self._broadcast(signed)
            except Unavailable:
                return  # `_await` tries again

    def _broadcast(self, entry: _Signed) -> None:
        with rpc.border(f"sending {entry.name}"):
            try:
                self._web3.eth.send_raw_transaction(HexBytes(entry.raw))
            except Web3RPCError as error:
                message = str(error.message or error).lower()
                if any(phrase in message for phrase in _ALREADY_THERE):
                    return
                if "nonce too low" in message:
                    if self._look_up(entry) is None:
                        raise Refused(
                            f"label {entry.label}: nonce {entry.nonce} of {self.address} was spent by a transaction"
                            " that this outbox did not sign; the key was used elsewhere: find the other sender, then"
                            " move this outbox folder away"
                        ) from error
                    return
                raise

    def _await(self, signed: _Signed, timeout: float) -> _Mined:
        deadline = time.monotonic() + timeout
        pause = 0.02
        resend = time.monotonic() + _RESEND_SECONDS
        while True:
            problem = "not mined yet"
            try:
                mined = self._mined(signed.nonce, signed.label) or self._look_up(signed)
                if mined is not None:
                    return mined
                if time.monotonic() >= resend:
                    self._broadcast(signed)
                    resend = time.monotonic() + _RESEND_SECONDS
            except Unavailable as error:
                problem = str(error)
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"label {signed.label}: {signed.transaction} was not mined within {timeout:g} s ({problem}); "
                    "run again: the same bytes are resent"
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _look_up(self, entry: _Signed) -> _Mined | None:
        """The chain's receipt of a transaction, persisted; None when it is not mined."""
        with rpc.border(f"receipt of {entry.transaction}"):
            try:
                receipt = self._web3.eth.get_transaction_receipt(HexBytes(entry.transaction))
            except TransactionNotFound:
                return None
        created = receipt["contractAddress"]
        mined = _Mined(
            block=receipt["blockNumber"],
            block_hash=receipt["blockHash"].to_0x_hex(),
            gas_used=receipt["gasUsed"],
            contract=Address(created) if created else None,
            refused=None if receipt["status"] == 1 else self._why(entry, receipt),
        )
        write_secret(self._file(entry.nonce, entry.label, "receipt"), json.dumps(asdict(mined)).encode())
        return mined

    def _why(self, entry: _Signed, receipt: TxReceipt) -> Mapping[str, Any]:
        """The custom error of a reverted transaction, by making the call again on the state that it left as it was."""
        call: TxParams = {
            "from": receipt["from"],
            "data": HexStr("0x" + entry.data),
            "gas": 30_000_000,
            "gasPrice": Wei(0),
        }
        if entry.to is not None:
            call["to"] = self._web3.to_checksum_address(entry.to)
        error = ContractRefused(entry.name, "Reverted", {"transaction": entry.transaction})
        try:
            self._web3.eth.call(call, receipt["blockNumber"])
        except ContractLogicError as revert:
            error = refusal(entry.name, revert.data if isinstance(revert.data, str) else None)
        except Web3RPCError:
            pass  # the chain keeps no state of that block: the refusal is known, its reason is not
        return {"call": error.call, "error": error.error, "arguments": error.arguments}

    def _genesis(self) -> str:
        return self._web3.eth.get_block(0)["hash"].to_0x_hex()

    # --------------------------------------------------------------- the files

    def _slots(self) -> list[_Slot]:
        """Every transaction by its file's name, in the order of nonces."""
        names = {path.name for path in self._folder.glob("*.json")}
        slots = []
        for name in sorted(names):
            nonce, label, kind, _ = name.split(".")
            if kind == "tx":
                slots.append(_Slot(int(nonce), label, settled=f"{nonce}.{label}.receipt.json" in names))
        return slots

    def _signed(self, slot: _Slot) -> _Signed:
        return _Signed(**json.loads(self._file(slot.nonce, slot.label, "tx").read_bytes()))

    def _mined(self, nonce: int, label: str) -> _Mined | None:
        try:
            return _Mined(**json.loads(self._file(nonce, label, "receipt").read_bytes()))
        except FileNotFoundError:
            return None

    def _file(self, nonce: int, label: str, kind: str) -> Path:
        return self._folder / f"{nonce:010d}.{label}.{kind}.json"

    def _outcome(self, signed: _Signed, mined: _Mined) -> Receipt:
        if mined.refused is not None:
            raise ContractRefused(mined.refused["call"], mined.refused["error"], mined.refused["arguments"])
        return Receipt(signed.label, signed.transaction, mined.block, mined.block_hash, mined.gas_used, mined.contract)
