"""The round's seed, which all nodes draw together: each commits to a nonce before the round opens, and reveals it.

What it is for: the projections of large models (docs/adr/0007-large-models.md), and each model's panel
(docs/adr/0035-a-panel-for-each-model.md).
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.domain import Kind, NodeName, Sha256, Statement
from pipeline.errors import EvidenceRejected, RoundAborted
from pipeline.evidence import randomness
from pipeline.round.input_set import say_once
from pipeline.round.node_round import NodeRound
from pipeline.round.worker import RoundContext


def draw(node: NodeRound) -> Sha256:
    """Reveal this node's nonce, wait for every node's, and return the seed that they make.

    To be called when the input set is signed: from here on everybody can compute what the updates will be checked with,
    and who tries which model. Raises EvidenceRejected for a nonce that was not committed to, Unavailable when one is
    missing.
    """
    ctx = node.ctx
    worker = ctx.worker
    root = ctx.commit_root
    try:
        secret = node.custody.nonce()
    except FileNotFoundError as error:
        raise RoundAborted(
            f"round {ctx.round_id}: the nonce of {worker.identity.name} is gone; the round ends at its deadline"
        ) from error
    body = {"nonce": secret.reveal().hex(), "commit_root": root}
    if say_once(ctx, node.journal, Kind.NONCE, body) != body:
        raise RoundAborted(
            f"round {ctx.round_id}: {worker.identity.name} revealed its nonce for another commit; did the ledger"
            " change?"
        )
    said = worker.board.wait(ctx.round_id, Kind.NONCE, worker.study.nodes, node.deadline, ctx.check)
    return agreed_seed(ctx, said)


def agreed_seed(ctx: RoundContext, said: Mapping[NodeName, Statement]) -> Sha256:
    """The seed from what every node revealed; raises EvidenceRejected naming the node whose nonce does not fit."""
    nonces = {}
    for node, record in ctx.key_records().items():
        ctx.worker.check(said[node], ctx.context)
        if said[node].body.get("commit_root") != ctx.commit_root:
            raise EvidenceRejected(
                f"{node}: revealed its nonce for another commit than the ledger's {ctx.commit_root[:16]}"
            )
        nonces[node] = randomness.checked(node, said[node].body.get("nonce"), record.nonce_commitment)
    return randomness.seed(ctx.context, ctx.commit_root, nonces)
