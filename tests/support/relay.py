"""A slow network on one machine: a relay between every two parties that holds whatever passes for half a round trip.

It may also break a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from pipeline.mpc.engines.base import Party

_CHUNK = 1 << 18
_RETRY_SECONDS = 0.02


@contextlib.contextmanager
def delayed(
    parties: Sequence[Party],
    round_trip_seconds: float,
    between: Collection[int] = (),
    break_after: float = float("inf"),
) -> Iterator[list[Party]]:
    """The parties, all or the two of `between` reaching one another with this round trip.

    The bandwidth is not limited. The first connection on each way that has carried `break_after` bytes breaks.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    relays: list[asyncio.Server] = []

    def seen(party: Party, index: int) -> str:
        host = party.hosts[index]
        if index == party.index or (between and not {index, party.index} <= set(between)):
            return host
        relay = asyncio.run_coroutine_threadsafe(_relay(host, round_trip_seconds / 2, break_after), loop).result()
        relays.append(relay)
        return f"127.0.0.1:{relay.sockets[0].getsockname()[1]}"

    try:
        yield [
            replace(party, hosts=tuple(seen(party, index) for index in range(len(party.hosts)))) for party in parties
        ]
    finally:
        for relay in relays:
            loop.call_soon_threadsafe(relay.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


async def _relay(host: str, delay: float, break_after: float) -> asyncio.Server:
    name, _, port = host.rpartition(":")
    is_broken = False

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # the caller was accepted already, so it cannot be refused any more: wait for the party that it wants
        while True:
            try:
                onward_reader, onward_writer = await asyncio.open_connection(name, int(port), limit=_CHUNK)
                break
            except OSError:
                await asyncio.sleep(_RETRY_SECONDS)
        carried = 0

        def carry(chunk: bytes) -> None:
            nonlocal carried, is_broken
            carried += len(chunk)
            if carried > break_after and not is_broken:
                is_broken = True
                for end in (writer, onward_writer):
                    end.transport.abort()

        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(_pump(reader, onward_writer, delay, carry), _pump(onward_reader, writer, delay, carry))

    return await asyncio.start_server(connected, "127.0.0.1", 0, limit=_CHUNK)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float, carry: Callable[[bytes], None]
) -> None:
    """Pass on every chunk after `delay`, in order, the end of the stream as well."""
    loop = asyncio.get_running_loop()
    chunks = asyncio.Queue[tuple[float, bytes]]()

    async def read() -> None:
        while True:
            try:
                chunk = await reader.read(_CHUNK)
            except OSError:
                chunk = b""
            chunks.put_nowait((loop.time() + delay, chunk))
            if not chunk:
                return

    reading = asyncio.ensure_future(read())
    try:
        while True:
            due, chunk = await chunks.get()
            await asyncio.sleep(max(due - loop.time(), 0))
            if not chunk:
                return
            carry(chunk)
            writer.write(chunk)
            await writer.drain()
    finally:
        reading.cancel()
        writer.close()
