"""The digest of a study, and what shows the ledger that an account is one of its hospitals'.

A study digest is the SHA-256 of two words: the Merkle root of its hospitals' accounts, and the SHA-256 of the whole
terms in canonical JSON. Whoever knows these can show the contract one hospital, without the rest
(`contracts/ILedger.sol`, `Membership`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.domain import Address, Sha256
from pipeline.errors import EvidenceRejected
from pipeline.evidence import merkle
from pipeline.evidence.canonical import digest, joint_digest


@dataclass(frozen=True)
class Membership:
    """What shows the ledger that an account is one of a study's hospitals.

    The account, the digest of the study's terms, and the siblings from the account up to the root (hexadecimal).
    """

    account: Address
    rest: Sha256
    proof: tuple[str, ...]


def study_digest(terms: Mapping[str, Any]) -> Sha256:
    """The digest that owners approve and rounds are opened with.

    Raises EvidenceRejected when two hospitals have one account.
    """
    return joint_digest([merkle.root(_leaves(terms)), digest(terms)])


def membership(terms: Mapping[str, Any], account: Address) -> Membership:
    """What shows that `account` is one of the study's hospitals; raises EvidenceRejected when it is none."""
    if account not in terms["hospitals"].values():
        raise EvidenceRejected(
            f"{account}: got an account of no hospital of the study, want one of {', '.join(terms['hospitals'])}"
        )
    return Membership(account, digest(terms), merkle.proof(_leaves(terms), _leaf(account)))


def _leaves(terms: Mapping[str, Any]) -> list[Sha256]:
    accounts = list(terms["hospitals"].values())
    if twice := {account for account in accounts if accounts.count(account) > 1}:
        raise EvidenceRejected(
            f"hospitals: got {', '.join(sorted(twice))} for two of them, want an account of its own for each"
        )
    return [_leaf(account) for account in accounts]


def _leaf(account: str) -> Sha256:
    """An account as the contract's tree of `address` encodes it."""
    return Sha256(account.removeprefix("0x").lower().rjust(64, "0"))
