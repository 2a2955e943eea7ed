"""Before a computation the parties meet: mutual TLS with pinned certificates, one program, one task; then they watch one another."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import EngineFailed
from pipeline.mpc.engines.base import Party

_LONGEST_LINE = 4096
_RETRY_SECONDS = 0.1
_PEER_SECONDS = 5.0
_LOOK_SECONDS = 0.5


@dataclass
class Meeting:
    """Connections to every peer, held open for as long as the computation runs."""

    party: Party
    agreed: Mapping[str, str]
    """What every party must say alike, in words of a message: {"program": digest, "task": digest}."""
    _peers: dict[int, ssl.SSLSocket] = field(default_factory=dict)
    _failure: str | None = None
    _deadline: float = 0.0
    _left: threading.Event = field(default_factory=threading.Event)
    _settled: threading.Event = field(default_factory=threading.Event)
    _reading: threading.Lock = field(default_factory=threading.Lock)

    def gather(self, deadline: float) -> None:
        """Meet every peer by `deadline` (time.monotonic); raises EngineFailed naming the peer that is missing, foreign or differs."""
        self._deadline = deadline
        host, port = _address(self.party.hosts[self.party.index])
        try:
            listener = socket.create_server((host, port), backlog=len(self.party.hosts))
        except OSError as error:
            raise EngineFailed(
                f"{host}:{port}: cannot listen there ({error.strerror}); another program or run holds the port: end it or change the port"
            ) from error
        try:
            with listener:
                for peer in range(self.party.index):
                    self._call(peer, deadline)
                self._answer(listener, deadline)
            for peer in sorted(self._peers):
                self._compare(peer, deadline)
        except BaseException as error:
            self.leave(str(error) if isinstance(error, EngineFailed) else "it stopped")
            raise

    def watch(self, fail: Callable[[], None]) -> None:
        """Call `fail` from a thread as soon as a peer ends without having finished; `failure` then says which and why."""
        threading.Thread(target=self._watch, args=(fail,), daemon=True).start()

    @property
    def failure(self) -> str | None:
        """What a peer reported, or that it vanished."""
        return self._failure

    def leave(self, cause: str | None) -> None:
        """Tell the peers that this party finished (None) or why it failed; who finished waits for the others, then hangs up."""
        # A TLS connection must not be read and written by two threads at once.
        with self._reading:
            for connection in self._peers.values():
                with contextlib.suppress(OSError):
                    connection.settimeout(_PEER_SECONDS)
                    _send(connection, {"finished": cause is None, "cause": cause or ""})
        if cause is None:
            self._settled.wait(_remaining(self._deadline))
        self._left.set()
        with self._reading:
            for connection in self._peers.values():
                connection.close()

    def _call(self, peer: int, deadline: float) -> None:
        host, port = _address(self.party.hosts[peer])
        context = self._context(ssl.PROTOCOL_TLS_CLIENT, peer)
        while True:
            try:
                plain = socket.create_connection((host, port), timeout=_remaining(deadline))
            except OSError:
                if time.monotonic() + _RETRY_SECONDS > deadline:
                    raise EngineFailed(f"{self._name(peer)}: did not come by the deadline; see that its node is running") from None
                time.sleep(_RETRY_SECONDS)
                continue
            try:
                connection = context.wrap_socket(plain)
                self._expect(connection, peer)
                _send(connection, {"index": self.party.index})
                self._peers[peer] = connection
                return
            except ssl.SSLCertVerificationError as error:
                plain.close()
                raise EngineFailed(f"{self._name(peer)}: its certificate is not the pinned one; compare the consortium's") from error
            except (OSError, EOFError):
                # The peer hung up while it closed an earlier meeting, or something else still holds its port.
                plain.close()
                if time.monotonic() + _RETRY_SECONDS > deadline:
                    raise EngineFailed(f"{self._name(peer)}: breaks off the connection; see its log") from None
                time.sleep(_RETRY_SECONDS)

    def _answer(self, listener: socket.socket, deadline: float) -> None:
        context = self._context(ssl.PROTOCOL_TLS_SERVER, None)
        refused = ""
        while missing := [peer for peer in range(self.party.index + 1, len(self.party.hosts)) if peer not in self._peers]:
            listener.settimeout(_remaining(deadline))
            try:
                plain, _ = listener.accept()
            except TimeoutError:
                names = ", ".join(self._name(peer) for peer in missing)
                raise EngineFailed(f"{names}: did not come by the deadline{refused}; see that its node is running") from None
            plain.settimeout(min(_PEER_SECONDS, _remaining(deadline)))
            try:
                connection = context.wrap_socket(plain, server_side=True)
                index = _receive(connection)["index"]
                if index not in missing:
                    raise EOFError
                self._expect(connection, index)
                self._peers[index] = connection
            except (OSError, EOFError, ValueError, KeyError, TypeError):
                # Whoever is not pinned must not be able to stop a round by calling.
                refused = ", while a caller without its pinned certificate was refused"
                plain.close()

    def _compare(self, peer: int, deadline: float) -> None:
        connection = self._peers[peer]
        connection.settimeout(_remaining(deadline))
        try:
            _send(connection, dict(self.agreed))
            theirs = _receive(connection)
        except ssl.SSLError as error:
            raise EngineFailed(f"{self._name(peer)}: refuses this node's certificate; compare the consortium's pinned ones") from error
        except (OSError, EOFError, ValueError) as error:
            raise EngineFailed(f"{self._name(peer)}: left before the computation began; see its log") from error
        for what, value in self.agreed.items():
            if theirs.get(what) != value:
                raise EngineFailed(
                    f"{self._name(peer)}: its {what} differs: got {_printable(theirs.get(what))}, want {value}; "
                    "both nodes need the same version of the code and the same round"
                )

    def _watch(self, fail: Callable[[], None]) -> None:
        with selectors.DefaultSelector() as selector:
            for peer, connection in self._peers.items():
                connection.settimeout(_PEER_SECONDS)
                selector.register(connection, selectors.EVENT_READ, peer)
            while selector.get_map() and not self._left.is_set():
                for key, _ in selector.select(_LOOK_SECONDS):
                    with self._reading:
                        if self._left.is_set():
                            return
                        selector.unregister(key.fileobj)
                        cause = self._report(key.data)
                    if cause is not None and self._failure is None:
                        self._failure = f"{self._name(key.data)}: {cause}"
                        fail()
        self._settled.set()

    def _report(self, peer: int) -> str | None:
        try:
            said = _receive(self._peers[peer])
        except (OSError, EOFError, ValueError):
            return "it vanished in mid-run"
        return None if said.get("finished") else _printable(said.get("cause"))

    def _context(self, protocol: int, peer: int | None) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.party.certificate, self.party.private_key)
        pinned = self.party.peer_certificates
        for certificate in pinned if peer is None else (pinned[peer],):
            context.load_verify_locations(cafile=certificate)
        return context

    def _expect(self, connection: ssl.SSLSocket, peer: int) -> None:
        shown = connection.getpeercert(binary_form=True)
        if shown != ssl.PEM_cert_to_DER_cert(self.party.peer_certificates[peer].read_text()):
            raise ssl.SSLCertVerificationError("another party's certificate")

    def _name(self, peer: int) -> str:
        return f"node {peer} ({self.party.hosts[peer]})"


def _address(host: str) -> tuple[str, int]:
    name, _, port = host.rpartition(":")
    return name, int(port)


def _remaining(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)


def _printable(value: object) -> str:
    return "".join(character for character in str(value) if character.isprintable())[:300]


def _send(connection: ssl.SSLSocket, content: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(content).encode()[: _LONGEST_LINE - 1] + b"\n")


def _receive(connection: ssl.SSLSocket) -> dict[str, Any]:
    line = b""
    while not line.endswith(b"\n"):
        # One byte at a time: whatever follows the line must stay in the socket for `select`.
        byte = connection.recv(1)
        if not byte or len(line) > _LONGEST_LINE:
            raise EOFError
        line += byte
    content = json.loads(line)
    if not isinstance(content, dict):
        raise ValueError("not an object")
    return content
