"""One connection to every peer: mutual TLS, and exactly the certificate that is pinned for the peer."""

from __future__ import annotations

import socket
import ssl
import time

from pipeline.errors import EngineFailed, PeerGaveUp
from pipeline.mpc.engines.base import Party
from pipeline.mpc.engines.session.framing import receive, send

PEER_SECONDS = 5.0
"""Patience with a peer in the middle of a message."""

_RETRY_SECONDS = 0.1
_ASK_SECONDS = 2.0


class Handshake:
    """Calls the parties of lower index and answers those of higher index; `met` holds the connections."""

    def __init__(self, party: Party) -> None:
        self.party = party
        self.met: dict[int, ssl.SSLSocket] = {}
        self._ask_at = 0.0

    def make(self, deadline: float) -> None:
        """Meet every peer by `deadline` (time.monotonic).

        Raises EngineFailed naming the peer that is missing or foreign, PeerGaveUp for one that will not come.
        """
        host, port = _address(self.party.hosts[self.party.index])
        try:
            listener = socket.create_server((host, port), backlog=len(self.party.hosts))
        except OSError as error:
            raise EngineFailed(
                f"{host}:{port}: cannot listen there ({error.strerror}); another program or run holds the port: end it"
                " or change the port"
            ) from error
        with listener:
            for peer in range(self.party.index):
                self._call(peer, deadline)
            self._answer(listener, deadline)

    def _call(self, peer: int, deadline: float) -> None:
        name = self.party.peer_name(peer)
        (host, port) = _address(self.party.hosts[peer])
        context = self._context(ssl.PROTOCOL_TLS_CLIENT, peer)
        while True:
            try:
                plain = socket.create_connection((host, port), timeout=remaining(deadline))
            except OSError:
                if time.monotonic() + _RETRY_SECONDS > deadline:
                    raise EngineFailed(f"{name}: did not come by the deadline; see that its node is running") from None
                self._ask()
                time.sleep(_RETRY_SECONDS)
                continue
            try:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = context.wrap_socket(plain)
                self._expect(connection, peer)
                send(connection, {"index": self.party.index})
                self.met[peer] = connection
                return
            except ssl.SSLCertVerificationError as error:
                plain.close()
                raise EngineFailed(
                    f"{name}: its certificate is not the pinned one; compare the consortium's"
                ) from error
            except (OSError, EOFError):
                # The peer hung up while it closed an earlier meeting, or something else still holds its port.
                plain.close()
                if time.monotonic() + _RETRY_SECONDS > deadline:
                    raise EngineFailed(f"{name}: breaks off the connection; see its log") from None
                time.sleep(_RETRY_SECONDS)

    def _answer(self, listener: socket.socket, deadline: float) -> None:
        context = self._context(ssl.PROTOCOL_TLS_SERVER, None)
        refused = ""
        while missing := [peer for peer in range(self.party.index + 1, len(self.party.hosts)) if peer not in self.met]:
            listener.settimeout(min(_ASK_SECONDS, remaining(deadline)))
            try:
                plain, _ = listener.accept()
            except TimeoutError:
                if time.monotonic() < deadline:
                    self._ask()
                    continue
                names = ", ".join(map(self.party.peer_name, missing))
                raise EngineFailed(
                    f"{names}: did not come by the deadline{refused}; see that its node is running"
                ) from None
            plain.settimeout(min(PEER_SECONDS, remaining(deadline)))
            try:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = context.wrap_socket(plain, server_side=True)
                index = receive(connection)["index"]
                if index not in missing:
                    raise EOFError
                self._expect(connection, index)
                self.met[index] = connection
            except (OSError, EOFError, ValueError, KeyError, TypeError):
                # Whoever is not pinned must not be able to stop a round by calling.
                refused = ", while a caller without its pinned certificate was refused"
                plain.close()

    def _ask(self) -> None:
        """Raise PeerGaveUp once a peer is known not to come; waiting for it until the deadline helps nobody."""
        if time.monotonic() < self._ask_at:
            return
        self._ask_at = time.monotonic() + _ASK_SECONDS
        if reason := self.party.gave_up():
            raise PeerGaveUp(f"{reason}; this computation cannot take place")

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


def remaining(deadline: float) -> float:
    """Seconds until `deadline`, never 0."""
    return max(deadline - time.monotonic(), 0.001)


def _address(host: str) -> tuple[str, int]:
    name, _, port = host.rpartition(":")
    return name, int(port)
