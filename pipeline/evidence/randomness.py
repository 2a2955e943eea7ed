"""A seed that nobody knows before the round's inputs are fixed: a hash of nonces that nodes commit to at the opening.

Each node draws a nonce, commits to it in its signed key record, whose digest the opening puts on the ledger, and
reveals it once the commit root stands there. One honest node makes the seed unpredictable at the time when hospitals
share; a node that withholds its nonce ends the round, and the next one has another seed.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.domain import Context, NodeName, Sha256, sha256_text
from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import digest, sha256
from pipeline.host.secret import Secret


def commitment(nonce: Secret) -> Sha256:
    """What a node publishes before the round opens."""
    return sha256(nonce.reveal())


def checked(node: NodeName, revealed: object, committed: object) -> Sha256:
    """A revealed nonce, 64 hexadecimal digits.

    Raises EvidenceRejected naming the node unless it is the one committed to.
    """
    nonce = sha256_text(revealed, f"{node}'s nonce")
    if sha256(bytes.fromhex(nonce)) != committed:
        raise EvidenceRejected(
            f"{node}: got a nonce that is not the one it committed to when the round opened; no seed can be trusted, so"
            " let the round abort"
        )
    return nonce


def seed(context: Context, commit_root: Sha256, nonces: Mapping[NodeName, Sha256]) -> Sha256:
    """The round's seed from every node's nonce and the root of the manifests."""
    return digest(
        {
            "purpose": "wardround round",
            "ledger": [context.chain_id, context.contract],
            "study": context.study_digest,
            "round": context.round,
            "previous": context.previous_model,
            "commit_root": commit_root,
            "nonces": dict(nonces),
        }
    )
