"""Digests, addresses and signatures between our hexadecimal text and the contract's types."""

from __future__ import annotations

from eth_typing import ChecksumAddress
from web3 import Web3

from pipeline.errors import Misconfigured

_PARITY = 1 << 255
_LENGTH = 65


def checksum(address: str) -> ChecksumAddress:
    """An address in the form of EIP-55; raises Misconfigured when it is none."""
    try:
        return Web3.to_checksum_address(address)
    except ValueError as error:
        raise Misconfigured(f"got address {address!r}, want 0x and 40 hexadecimal digits") from error


def word(value: str) -> bytes:
    """The 32 bytes of a digest or key; raises Misconfigured when it is none."""
    try:
        data = bytes.fromhex(value)
    except ValueError:
        data = b""
    if len(data) != 32:
        raise Misconfigured(f"got {value!r} for a digest or key, want 64 hexadecimal digits without 0x")
    return data


def compact(signature: str) -> tuple[bytes, bytes]:
    """A signature of 65 bytes (hexadecimal) in the form of EIP-2098; raises Misconfigured when it is none."""
    try:
        data = bytes.fromhex(signature)
    except ValueError:
        data = b""
    if len(data) != _LENGTH or data[64] not in (27, 28) or data[32] & 0x80:
        raise Misconfigured(f"got a signature of {len(data)} bytes, want 65: r, s in its lower half, and v of 27 or 28")
    return data[:32], (int.from_bytes(data[32:64], "big") | (_PARITY if data[64] == 28 else 0)).to_bytes(32, "big")


def expanded(r: bytes, vs: bytes) -> str:
    """The 65 bytes (hexadecimal) of a signature in the form of EIP-2098."""
    number = int.from_bytes(vs, "big")
    return (r + (number & (_PARITY - 1)).to_bytes(32, "big") + bytes([27 + (number >> 255)])).hex()
