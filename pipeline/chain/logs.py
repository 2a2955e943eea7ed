"""One contract's event logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from eth_typing import HexStr
from web3 import Web3
from web3.types import FilterParams, LogReceipt

from pipeline.chain import rpc
from pipeline.chain.contract import event_fields, event_name, topic
from pipeline.chain.encoding import checksum
from pipeline.domain import Address
from pipeline.ledger_types import events
from pipeline.ledger_types.events import Event, TxLocation


class Logs:
    """Finds events by their topics; every search raises Unavailable when the chain does not answer."""

    def __init__(self, web3: Web3, contract: Address) -> None:
        self._web3 = web3
        self._contract = checksum(contract)

    def find(
        self,
        names: str | Sequence[str],
        keys: tuple[bytes | None, ...],
        first: int,
        last: int | Literal["latest"] = "latest",
    ) -> Iterator[Event]:
        """Events of these names whose indexed fields are `keys`, in blocks `first` to `last`, in the chain's order."""
        kinds = [HexStr("0x" + topic(name).hex()) for name in ([names] if isinstance(names, str) else names)]
        wanted: FilterParams = {
            "address": self._contract,
            "fromBlock": first,
            "toBlock": last,
            "topics": [kinds, *(HexStr("0x" + value.hex()) if value else None for value in keys)],
        }
        with rpc.border("event logs"):
            for log in self._web3.eth.get_logs(wanted):
                topics = [bytes(one) for one in log["topics"]]
                fields = event_fields(topics, log["data"])
                event = events.parse(event_name(topics[0]), fields, self._location(log))
                if event is not None:
                    yield event

    def _location(self, log: LogReceipt) -> TxLocation:
        # Not every chain's logs carry the block's time.
        stamped: Any = log.get("blockTimestamp")
        time = stamped if stamped is not None else self._web3.eth.get_block(log["blockNumber"])["timestamp"]
        seconds = int(time, 16) if isinstance(time, str) else int(time)
        return TxLocation(log["transactionHash"].to_0x_hex(), log["blockNumber"], seconds)
