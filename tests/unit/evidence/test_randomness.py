"""The seed of a random check.

Unknown before every node has revealed what it committed to, bound to one round and one commit.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.domain import Address, Context, NodeName, RoundId, Sha256
from pipeline.errors import EvidenceRejected
from pipeline.evidence import randomness
from pipeline.evidence.canonical import sha256
from pipeline.host.secret import Secret

CONTEXT = Context(31337, Address("0x" + "9" * 40), sha256(b"study"), RoundId(3), sha256(b"previous"))
NODES = tuple(map(NodeName, ("north", "east", "west")))
NONCES = {node: sha256(node.encode()) for node in NODES}


def test_a_revealed_nonce_is_taken_only_if_it_is_the_one_committed_to() -> None:
    nonce = Secret.generate()
    committed = randomness.commitment(nonce)
    revealed = nonce.reveal().hex()
    assert randomness.checked(NODES[0], revealed, committed) == revealed
    for other in (Secret.generate().reveal().hex(), revealed.upper(), revealed[:-2], "", None, 7):
        with pytest.raises(EvidenceRejected, match="north"):
            randomness.checked(NODES[0], other, committed)
    with pytest.raises(EvidenceRejected, match="north"):
        randomness.checked(NODES[0], revealed, None)


def test_the_seed_changes_with_every_nonce_the_commit_the_round_the_study_and_the_ledger() -> None:
    root = sha256(b"root")
    contexts = [
        replace(CONTEXT, round=RoundId(4)),
        replace(CONTEXT, chain_id=1),
        replace(CONTEXT, study_digest=root),
        replace(CONTEXT, previous_model=root),
        replace(CONTEXT, contract=Address("0x" + "8" * 40)),
    ]
    seeds = {
        randomness.seed(CONTEXT, root, NONCES),
        randomness.seed(CONTEXT, sha256(b"other root"), NONCES),
        *(randomness.seed(CONTEXT, root, {**NONCES, node: Sha256("0" * 64)}) for node in NODES),
        *(randomness.seed(context, root, NONCES) for context in contexts),
    }
    assert len(seeds) == 2 + len(NODES) + len(contexts)
    assert randomness.seed(CONTEXT, root, dict(reversed(NONCES.items()))) == randomness.seed(CONTEXT, root, NONCES)
