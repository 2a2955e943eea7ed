"""Messages between nodes: one JSON object a line over a TLS connection."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any

from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import read_object

_LONGEST = 4096


def send(connection: ssl.SSLSocket, content: Mapping[str, Any]) -> None:
    """Send one message; raises OSError."""
    connection.sendall(json.dumps(content).encode()[: _LONGEST - 1] + b"\n")


def receive(connection: ssl.SSLSocket) -> dict[str, Any]:
    """The next message; raises OSError, EOFError or ValueError."""
    line = b""
    while not line.endswith(b"\n"):
        # One byte at a time: whatever follows the line must stay in the socket for `select`.
        byte = connection.recv(1)
        if not byte or len(line) > _LONGEST:
            raise EOFError
        line += byte
    try:
        return read_object(line)
    except EvidenceRejected as error:
        raise ValueError(str(error)) from error


def printable(value: object) -> str:
    """What a peer said, safe to print."""
    return "".join(character for character in str(value) if character.isprintable())[:300]
