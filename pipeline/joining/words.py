"""Fingerprints as words that people compare by telephone: BIP-39's list, with its checksum in the last word."""

from __future__ import annotations

from eth_account.hdaccount.mnemonic import Mnemonic

from pipeline.domain import Sha256

_BYTES = 16
"""128 bits: nobody finds a second key whose words are the same."""


def words(fingerprint: Sha256) -> str:
    """Twelve English words for the first 128 bits of a fingerprint."""
    return str(Mnemonic().to_mnemonic(bytes.fromhex(fingerprint)[:_BYTES]))


def same(one: str, other: str) -> bool:
    """Whether two people read out the same words, however they space and spell them large."""
    return one.lower().split() == other.lower().split()
