"""A node that decided one round twice, by two results, two ends without one, or one of each.

Whoever gathers what nodes signed and sees both puts them on the ledger, which suspends the node.
"""

from __future__ import annotations

import logging
from functools import partial
from itertools import combinations

from pipeline.domain import Decision, NodeName
from pipeline.errors import ContractRefused, Rejected
from pipeline.round import ballots
from pipeline.round.worker import RoundContext, Worker
from pipeline.store import object_keys

_LOG = logging.getLogger(__name__)


def suspended(worker: Worker) -> frozenset[NodeName]:
    """The study's nodes whose signatures the ledger counts no longer."""
    return frozenset(
        node for node in worker.study.nodes if worker.ledger.suspended(worker.study_id, worker.node_address(node))
    )


def report(ctx: RoundContext) -> tuple[NodeName, ...]:
    """Have every node suspended that decided this round twice; returns those reported now, by this actor or another."""
    worker = ctx.worker
    reported = []
    for node in worker.study.nodes if ctx.state.study == worker.study_id else ():
        signed = _conflicting(ctx, node)
        if signed is None or worker.ledger.suspended(worker.study_id, worker.node_address(node)):
            continue
        try:
            worker.outbox().send(
                partial(worker.ledger.report_equivocation, *signed), f"equivocation-{ctx.round_id}-{node}"
            )
        except ContractRefused as error:
            if error.error != "SuspendedNode":  # else somebody else was faster: anybody may report
                raise
        _LOG.warning("round %d: %s decided it twice; the ledger suspended it", ctx.round_id, node)
        reported.append(node)
    return tuple(reported)


def _conflicting(ctx: RoundContext, node: NodeName) -> tuple[Decision, str, Decision, str] | None:
    """Two different decisions about this round that the node signed, each with its signature."""
    board = ctx.worker.board
    round_id = ctx.round_id
    signatures = dict[Decision, str]()
    # A node that hides two decisions among much else is not caught: neither of them counts
    # (`pipeline.store.bulletin_board`).
    posted = [
        (ballot, digest)
        for ballot in ballots.BALLOTS
        for digest in board.some_digests(object_keys.statement(round_id, ballot.kind, node))
    ]
    for ballot, digest in posted if len(posted) > 1 else ():
        try:
            statement = board.statement(round_id, ballot.kind, node, digest)
            decision = ballot.check(ctx, node)(statement)
        except Rejected:
            continue
        if decision.round == round_id:
            signatures[decision] = statement.signature
    for (first, one), (second, other) in combinations(signatures.items(), 2):
        return first, one, second, other
    return None
