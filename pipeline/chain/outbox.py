"""One sender per key: every transaction is signed once, kept on disk before it is sent, and resent until it is mined.

A label names one intention for ever. Sending under a label again, after whatever crash, resends the very same bytes or
finds their receipt. A call that the contract would refuse is found out before anything is signed and leaves the label
free; a transaction that was mined and reverted spends its label: the same refusal is raised each time, and another
attempt, if the ledger's state still asks for one, takes another label.

Where a chain never mines a transaction, its owner may have it signed again under the same nonce: the same call at
another price, or nothing at all, which gives it up. One of them is mined, whichever it is; a label that was given up is
free again. Until then they are offered to the chain, the newest first, until it takes one: nothing is lost by a price
that it does not take.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eth_typing import HexStr
from hexbytes import HexBytes
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3RPCError
from web3.types import TxParams, TxReceipt, Wei

from pipeline.chain import rpc
from pipeline.chain.contract import Call, refusal
from pipeline.chain.signed_files import Mined, Signed, SignedFiles, Slot
from pipeline.domain import Address
from pipeline.errors import ContractRefused, Misconfigured, Refused, Unavailable
from pipeline.site.identity import SigningKey

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,119}")
_ALREADY_THERE = ("already imported", "already known", "known transaction")
_NOT_TAKEN = ("underpriced", "insufficient funds", "gas price", "fee too low", "max fee", "less than block base fee")
"""What chains say of a price that they do not take."""
_NOTHING_GAS = 21_000
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


class _NotTaken(Unavailable):
    """The chain does not take a transaction at its price."""


class Outbox:
    """Sends the transactions of one key on one chain, from any number of processes that share `folder`."""

    def __init__(
        self, folder: Path, key: SigningKey, rpc_url: str, chain_id: int, authority: Path | None = None
    ) -> None:
        self.address = key.address
        self._key = key
        self._chain_id = chain_id
        self._files = SignedFiles(folder, chain_id, key.address)
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
        with self._files.lock():
            signed = self._prepare(call, label)
        return self._outcome(signed, self._await(signed, timeout))

    def settle(self) -> None:
        """Ask the chain for the receipts of all that waits, and offer it again what has none."""
        with self._files.lock():
            slots = self._files.slots()
            self._check_chain(slots)
            self._send_unsettled(slots)

    def replace(self, label: str, price: int | None = None) -> int:
        """Sign what waits under `label` again, with the same nonce, at a higher price in wei; the price it went out at.

        Without a price the one that the chain asks for is offered, then what pools want of a replacement. Raises
        Refused where nothing of this label waits, or where the chain takes it at no such price; Unavailable.
        """
        return self._sign_instead(label, price, gives_up=False)

    def give_up(self, label: str, price: int | None = None) -> int:
        """Sign nothing in the place of what waits under `label`, so that its nonce is spent; else like `replace`.

        Once that is mined, the label is free. If the chain mines the former transaction yet, that one counts.
        """
        return self._sign_instead(label, price, gives_up=True)

    def _sign_instead(self, label: str, price: int | None, *, gives_up: bool) -> int:
        with self._files.lock():
            slots = self._files.slots()
            self._check_chain(slots)
            slot = next((slot for slot in slots if slot.label == label and not slot.settled), None)
            if slot is None or self._look_up(slot.nonce, label) is not None:
                raise Refused(
                    f"label {label}: got nothing of {self.address} that waits under it, want one of those that"
                    " `wardround ledger waiting` lists"
                )
            for offered in [price] if price is not None else self._prices(slot, gives_up=gives_up):
                attempts = self._files.attempts(slot.nonce, label)
                signed = self._signed_instead(attempts[-1], offered, gives_up=gives_up)
                if signed.transaction not in {attempt.transaction for attempt in attempts}:
                    self._files.persist_instead(signed)
                try:
                    self._offer(signed)
                except _NotTaken as error:
                    refusal_of_chain = str(error)
                    continue
                return offered
            raise Refused(
                f"label {label}: {refusal_of_chain}; what waited still waits, and may yet be mined. On a chain with"
                f" fees {self.address} needs a balance; on one without, its operators empty their pools of waiting"
                " transactions (a restart of their nodes), then give the command again"
            )

    def _prices(self, slot: Slot, *, gives_up: bool) -> list[int]:
        """What to offer, one after the other: what the chain asks for, then as little as a pool may take."""
        latest = self._files.attempts(slot.nonce, slot.label)[-1].price
        # An eighth more is what pools want of a replacement. Nothing at the same price is worth a try: a pool that has
        # forgotten the former one takes it.
        more = latest * 9 // 8 + 1
        with rpc.border("price of gas"):
            asked = max(int(self._web3.eth.gas_price), more)
        return list(dict.fromkeys([asked, more, *([latest] if gives_up else [])]))

    def _signed_instead(self, latest: Signed, price: int, *, gives_up: bool) -> Signed:
        nothing = gives_up or latest.gives_up
        to = self.address if nothing else latest.to
        data = "" if nothing else latest.data
        complete: dict[str, Any] = {
            "value": Wei(0),
            "data": HexStr("0x" + data),
            "chainId": self._chain_id,
            "nonce": latest.nonce,
            "gas": _NOTHING_GAS if nothing else latest.gas or self._gas(to, data, latest.name),
            "gasPrice": price,
        }
        if to is not None:
            complete["to"] = self._web3.to_checksum_address(to)
        done = self._key.account.sign_transaction(complete)
        return replace(
            latest,
            to=to,
            data=data,
            raw=bytes(done.raw_transaction).hex(),
            transaction=done.hash.to_0x_hex(),
            gas=complete["gas"],
            price=price,
            gives_up=nothing,
        )

    def _prepare(self, call: Call | Callable[[], Call], label: str) -> Signed:
        """The label's transaction, signed and persisted now if it is new, with all before it sent; the lock is held."""
        slots = self._files.slots()
        self._check_chain(slots)
        self._send_unsettled(slots)
        earlier = next((slot for slot in slots if slot.label == label and not self._files.gave_up(slot)), None)
        if earlier is not None:
            signed = self._files.first(earlier)
            if isinstance(call, Call) and (call.to, call.data.hex()) != (signed.to, signed.data):
                raise Refused(
                    f"label {label}: got another {call.name} than the {signed.name} it was first used for; choose"
                    " another label"
                )
            return signed
        signed = self._sign(call if isinstance(call, Call) else call(), label, self._next_nonce(slots))
        self._files.persist(signed)
        self._send_unsettled([Slot(signed.nonce, label, settled=False)])
        return signed

    def _sign(self, call: Call, label: str, nonce: int) -> Signed:
        wanted: TxParams = {"value": Wei(0), "data": HexStr("0x" + call.data.hex()), "chainId": self._chain_id}
        if call.to is not None:
            wanted["to"] = self._web3.to_checksum_address(call.to)
        gas = self._gas(call.to, call.data.hex(), call.name)
        with rpc.border(call.name):
            genesis = self._genesis()
        complete: dict[str, Any] = {**wanted, "nonce": nonce, "gas": gas, "gasPrice": 0}
        done = self._key.account.sign_transaction(complete)
        raw = bytes(done.raw_transaction).hex()
        return Signed(label, nonce, call.name, call.to, call.data.hex(), raw, done.hash.to_0x_hex(), genesis, gas)

    def _gas(self, to: Address | None, data: str, name: str) -> int:
        asked: TxParams = {"from": self._web3.to_checksum_address(self.address), "data": HexStr("0x" + data)}
        if to is not None:
            asked["to"] = self._web3.to_checksum_address(to)
        with rpc.border(name):
            # The pending block: its time, unlike the latest block's, is now.
            gas = int(self._web3.eth.estimate_gas(asked, "pending"))
        # The state may have moved a little when the transaction is mined.
        return gas + gas // 4

    def _next_nonce(self, slots: list[Slot]) -> int:
        with rpc.border("transaction count"):
            mined = int(self._web3.eth.get_transaction_count(self._web3.to_checksum_address(self.address)))
        nonce = slots[-1].nonce + 1 if slots else mined
        if mined > nonce and self._files.restored:
            return mined
        if mined > nonce:
            raise Refused(
                f"{self.address}: got {mined} transactions on the chain, but the outbox knows {nonce}; the key was used"
                " elsewhere, or the outbox is an old copy: stop the other sender, then move this outbox folder away"
            )
        return nonce

    # -------------------------------------------------------------- the chain

    def _check_chain(self, slots: list[Slot]) -> None:
        """Refuse a chain that is not the one on which the newest receipt was seen."""
        if not slots:
            return
        recorded_genesis = self._files.first(slots[-1]).genesis
        with rpc.border("genesis block"):
            genesis = self._genesis()
        if genesis != recorded_genesis:
            raise Refused(
                f"the chain's genesis is {genesis}, but this outbox was used on {recorded_genesis}: the chain was"
                " created anew; restore it, or start with a new installation"
            )
        settled = next((slot for slot in reversed(slots) if slot.settled), None)
        newest = self._files.mined(settled.nonce, settled.label) if settled else None
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

    def _send_unsettled(self, slots: list[Slot]) -> None:
        """Hand every transaction without a receipt to the chain, oldest first.

        No nonce is missing then before a later one.
        """
        for slot in slots:
            try:
                if not slot.settled and self._look_up(slot.nonce, slot.label) is None:
                    self._broadcast(self._files.first(slot))
            except Unavailable:
                return  # `_await` tries again

    def _broadcast(self, entry: Signed) -> None:
        """Offer all that was signed under this nonce, the newest first, until the chain takes one."""
        trouble: _NotTaken | None = None
        for attempt in reversed(self._files.attempts(entry.nonce, entry.label)):
            try:
                return self._offer(attempt)
            except _NotTaken as error:
                trouble = trouble or error
        if trouble is not None:
            raise trouble
        return None

    def _offer(self, entry: Signed) -> None:
        with rpc.border(f"sending {entry.name}"):
            try:
                self._web3.eth.send_raw_transaction(HexBytes(entry.raw))
            except Web3RPCError as error:
                message = str(error.message or error).lower()
                if any(phrase in message for phrase in _ALREADY_THERE):
                    return
                if any(phrase in message for phrase in _NOT_TAKEN):
                    raise _NotTaken(
                        f"sending {entry.name}: the chain answered {message!r} to a price of {entry.price} wei"
                    ) from error
                if "nonce too low" in message:
                    if self._look_up(entry.nonce, entry.label) is None:
                        raise Refused(
                            f"label {entry.label}: nonce {entry.nonce} of {self.address} was spent by a transaction"
                            " that this outbox did not sign; the key was used elsewhere: find the other sender, then"
                            " move this outbox folder away"
                        ) from error
                    return
                raise

    def _await(self, signed: Signed, timeout: float) -> Mined:
        deadline = time.monotonic() + timeout
        pause = 0.02
        resend = time.monotonic() + _RESEND_SECONDS
        while True:
            problem = "not mined yet"
            try:
                mined = self._files.mined(signed.nonce, signed.label) or self._look_up(signed.nonce, signed.label)
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
                    "run again: the same bytes are resent; if it never is, `wardround ledger waiting` says what to do"
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _look_up(self, nonce: int, label: str) -> Mined | None:
        """The chain's receipt of what was signed under a nonce, persisted; None when none of it is mined."""
        attempts = self._files.attempts(nonce, label)
        return next((mined for attempt in attempts if (mined := self._receipt(attempt)) is not None), None)

    def _receipt(self, entry: Signed) -> Mined | None:
        with rpc.border(f"receipt of {entry.transaction}"):
            try:
                receipt = self._web3.eth.get_transaction_receipt(HexBytes(entry.transaction))
            except TransactionNotFound:
                return None
        created = receipt["contractAddress"]
        mined = Mined(
            block=receipt["blockNumber"],
            block_hash=receipt["blockHash"].to_0x_hex(),
            gas_used=receipt["gasUsed"],
            contract=Address(created) if created else None,
            refused=None if receipt["status"] == 1 else self._why(entry, receipt),
            transaction=entry.transaction,
            gave_up=entry.gives_up,
        )
        self._files.settle(entry.nonce, entry.label, mined)
        return mined

    def _why(self, entry: Signed, receipt: TxReceipt) -> Mapping[str, Any]:
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

    def _outcome(self, signed: Signed, mined: Mined) -> Receipt:
        if mined.refused is not None:
            raise ContractRefused(mined.refused["call"], mined.refused["error"], mined.refused["arguments"])
        if mined.gave_up:
            raise Refused(
                f"label {signed.label}: its {signed.name} was given up in block {mined.block}; run again: the call is"
                " signed anew where the ledger still asks for it"
            )
        transaction = mined.transaction or signed.transaction
        return Receipt(signed.label, transaction, mined.block, mined.block_hash, mined.gas_used, mined.contract)
