"""While they compute the parties watch one another.

Each says every second whether its engine works, and at its end how it ended.
"""

from __future__ import annotations

import contextlib
import selectors
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.mpc.engines.base import Party
from pipeline.mpc.engines.session.framing import printable, receive, send
from pipeline.mpc.engines.session.handshake import PEER_SECONDS, remaining
from pipeline.mpc.engines.session.process_activity import ProcessActivity

_BEAT_SECONDS = 1.0
_LOOK_SECONDS = 0.5


class Heartbeat:
    """Over open connections to every peer; `failure` is the first thing that went wrong elsewhere."""

    def __init__(self, party: Party, peers: Mapping[int, ssl.SSLSocket]) -> None:
        self.failure: str | None = None
        self._party = party
        self._peers = peers
        self._left = threading.Event()
        self._settled = threading.Event()
        # A TLS connection must not be read and written by two threads at once.
        self._talking = threading.Lock()
        now = time.monotonic()
        self._heard = dict.fromkeys(peers, now)
        self._states: dict[int, Any] = {}
        self._moved = now

    def watch(self, fail: Callable[[], None], activity: ProcessActivity) -> None:
        """Call `fail` from a thread once a peer ends unfinished, falls silent, or no engine works any more."""
        threading.Thread(target=self._watch, args=(fail, activity), daemon=True).start()

    def leave(self, cause: str | None, deadline: float) -> None:
        """Tell the peers that this party finished (None) or why it failed.

        Who finished waits for the others, then hangs up.
        """
        with self._talking:
            for connection in self._peers.values():
                with contextlib.suppress(OSError):
                    connection.settimeout(PEER_SECONDS)
                    send(connection, {"finished": cause is None, "cause": cause or ""})
        if cause is None:
            self._settled.wait(remaining(deadline))
        self._left.set()
        with self._talking:
            for connection in self._peers.values():
                connection.close()

    def _watch(self, fail: Callable[[], None], activity: ProcessActivity) -> None:
        with selectors.DefaultSelector() as selector:
            for peer, connection in self._peers.items():
                connection.settimeout(PEER_SECONDS)
                selector.register(connection, selectors.EVENT_READ, peer)
            self._heard = dict.fromkeys(self._peers, time.monotonic())
            self._moved = time.monotonic()
            beaten = 0.0
            while (at_work := {key.data for key in selector.get_map().values()}) and not self._left.is_set():
                ready = selector.select(_LOOK_SECONDS)
                with self._talking:
                    if self._left.is_set():
                        return
                    for key, _ in ready:
                        if not self._hears(key.data):
                            selector.unregister(key.fileobj)
                    if time.monotonic() - beaten >= _BEAT_SECONDS:
                        beaten = time.monotonic()
                        self._beat(at_work, activity.feel())
                if self.failure is None:
                    self.failure = self._stalled({key.data for key in selector.get_map().values()})
                if self.failure is not None:
                    break
        if self.failure is not None:
            fail()
        self._settled.set()

    def _hears(self, peer: int) -> bool:
        """Take in one message; whether more may come."""
        try:
            said = receive(self._peers[peer])
        except (OSError, EOFError, ValueError):
            said = {"finished": False, "cause": "it vanished in mid-run"}
        self._heard[peer] = time.monotonic()
        if "beat" in said:
            self._note(peer, said["beat"])
            return True
        if not said.get("finished"):
            self.failure = self.failure or f"{self._party.peer_name(peer)}: {printable(said.get('cause'))}"
        return False

    def _note(self, party: int, state: Any) -> None:
        if self._states.get(party) != state:
            self._states[party] = state
            self._moved = time.monotonic()

    def _beat(self, peers: set[int], activity: ProcessActivity) -> None:
        state = {"work": round(activity.work, 2), "suspended": activity.suspended}
        self._note(self._party.index, state)
        for peer in peers:
            with contextlib.suppress(OSError):
                send(self._peers[peer], {"beat": state})

    def _stalled(self, at_work: set[int]) -> str | None:
        now = time.monotonic()
        patience = self._party.patience_seconds
        for peer in sorted(at_work):
            if now - self._heard[peer] > patience:
                return (
                    f"{self._party.peer_name(peer)}: gave no sign of life for {patience:.0f} s; its node is suspended"
                    " or cut off"
                )
        if at_work and now - self._moved > patience:
            for peer in sorted(at_work):
                if isinstance(self._states.get(peer), dict) and self._states[peer].get("suspended"):
                    return f"{self._party.peer_name(peer)}: its engine is suspended by a signal"
            names = ", ".join(map(self._party.peer_name, sorted(at_work)))
            return (
                f"no engine worked for {patience:.0f} s, though the nodes answer ({names}): a connection between two"
                " engines is cut"
            )
        return None
