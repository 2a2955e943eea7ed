"""Who speaks in the vectors, and where: fixed keys, one ledger, one round."""

from __future__ import annotations

from typing import Any

from pipeline.domain import Address, Context, RoundId, Sha256
from pipeline.host.secret import Secret
from pipeline.site.identity import SigningKey

CONTRACT = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
CONTEXT = {
    "chain_id": 31337,
    "contract": CONTRACT,
    "study_digest": "11" * 32,
    "round": 7,
    "previous_model": "22" * 32,
}
PRIVATE_KEY = "01" * 32
OTHER_PRIVATE_KEY = "02" * 32


def context(given: Any) -> Context:
    """The context that a vector writes out."""
    return Context(
        given["chain_id"],
        Address(given["contract"]),
        Sha256(given["study_digest"]),
        RoundId(given["round"]),
        Sha256(given["previous_model"]),
    )


def key(private_key: str) -> SigningKey:
    return SigningKey(Secret(bytes.fromhex(private_key)))
