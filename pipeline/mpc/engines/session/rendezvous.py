"""Before a computation the parties meet: mutual TLS with pinned certificates, one program, one task.

Then they watch one another.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from pipeline.errors import EngineFailed
from pipeline.mpc.engines.base import Party
from pipeline.mpc.engines.session.framing import printable, receive, send
from pipeline.mpc.engines.session.handshake import Handshake, remaining
from pipeline.mpc.engines.session.heartbeat import Heartbeat
from pipeline.mpc.engines.session.process_activity import ProcessActivity

_PINGS = 5


class Rendezvous:
    """Connections to every peer, held open for as long as the computation runs.

    Leaving the context tells the peers how it ended.
    """

    def __init__(self, party: Party) -> None:
        self.party = party
        self._peers: dict[int, ssl.SSLSocket] = {}
        self._vigil = Heartbeat(party, self._peers)
        self._deadline = 0.0
        self._left = False

    def __enter__(self) -> Rendezvous:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave(None if error is None else str(error) if isinstance(error, EngineFailed) else "it stopped")
        if error is None and self.failure is not None:
            # all or nobody: where one has no output, all must run again
            raise EngineFailed(self.failure)

    def gather(self, agreed: Mapping[str, str], deadline: float) -> None:
        """Meet every peer by `deadline` (time.monotonic), all with one `agreed`.

        Raises EngineFailed naming who is missing or differs.
        """
        self._deadline = deadline
        handshake = Handshake(self.party)
        try:
            handshake.make(deadline)
        finally:
            self._peers.update(handshake.met)
        self.agree(agreed)

    def agree(self, agreed: Mapping[str, str]) -> None:
        """Compare, in words of a message ({"task": digest}), with every peer, once all are here.

        Raises EngineFailed naming who differs.
        """
        for peer in sorted(self._peers):
            theirs = self._exchange(peer, agreed)
            for what, value in agreed.items():
                if theirs.get(what) != value:
                    raise EngineFailed(
                        f"{self.party.peer_name(peer)}: its {what} differs: got {printable(theirs.get(what))}, want"
                        f" {value}; both nodes need the same version of the code and the same round"
                    )

    def exchange(self, what: str, own: str) -> dict[int, object]:
        """Tell every peer something of this party's own, and hear theirs, as they say it; raises EngineFailed."""
        return {peer: self._exchange(peer, {what: own}).get(what) for peer in sorted(self._peers)}

    def round_trip(self) -> float:
        """Seconds of the slowest round trip between any two parties, as all of them know it; raises EngineFailed."""
        slowest = max(self._ping(peer) for peer in sorted(self._peers))
        # whoever tells two peers different times makes them choose different programs, which none of them then runs
        told = [self._exchange(peer, {"round_trip": slowest}).get("round_trip") for peer in sorted(self._peers)]
        return max([slowest, *(seconds for seconds in told if isinstance(seconds, int | float))])

    def watch(self, fail: Callable[[], None], activity: ProcessActivity) -> None:
        """Call `fail` from a thread as soon as a peer fails or stalls; `failure` then says which and why."""
        self._vigil.watch(fail, activity)

    @property
    def failure(self) -> str | None:
        """What a peer reported, or that it vanished or stalled."""
        return self._vigil.failure

    def leave(self, cause: str | None) -> None:
        """Tell the peers, once, that this party finished (None) or why it failed.

        Who finished waits for the others, then hangs up.
        """
        if not self._left:
            self._left = True
            self._vigil.leave(cause, self._deadline)

    def _ping(self, peer: int) -> float:
        """The lower index asks, the other one answers; both learn the shortest of a few round trips."""
        shortest = float("inf")
        for _ in range(_PINGS):
            if self.party.index < peer:
                start = time.monotonic()
                self._exchange(peer, {})
                shortest = min(shortest, time.monotonic() - start)
            else:
                self._answer(peer)
        return shortest if self.party.index < peer else 0.0

    def _answer(self, peer: int) -> None:
        with self._talking(peer) as connection:
            self._still_here(peer, receive(connection))
            send(connection, {})

    def _exchange(self, peer: int, content: Mapping[str, Any]) -> dict[str, Any]:
        with self._talking(peer) as connection:
            # a peer that has left told why before it hung up
            with suppress(OSError):
                send(connection, content)
            return self._still_here(peer, receive(connection))

    def _still_here(self, peer: int, said: dict[str, Any]) -> dict[str, Any]:
        if "finished" in said:
            raise EngineFailed(f"{self.party.peer_name(peer)}: {printable(said.get('cause'))}")
        return said

    @contextmanager
    def _talking(self, peer: int) -> Iterator[ssl.SSLSocket]:
        name = self.party.peer_name(peer)
        connection = self._peers[peer]
        connection.settimeout(remaining(self._deadline))
        try:
            yield connection
        except TimeoutError as error:
            raise EngineFailed(
                f"{name}: not ready by the deadline; its machine is slow, still compiles, or is cut off: see its log"
            ) from error
        except ssl.SSLError as error:
            raise EngineFailed(
                f"{name}: refuses this node's certificate; compare the consortium's pinned ones"
            ) from error
        except (OSError, EOFError, ValueError) as error:
            raise EngineFailed(f"{name}: left before the computation began; see its log") from error
