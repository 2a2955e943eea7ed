"""A node that signed two results of one round: whoever gathers votes and sees both puts them on the ledger, which suspends the node."""

from __future__ import annotations

import logging
from functools import partial
from itertools import combinations

from pipeline import places
from pipeline.domain import Kind, NodeName, Result
from pipeline.errors import ContractRefused, Rejected
from pipeline.evidence import signing
from pipeline.roles.desk import Desk, Sitting

_LOG = logging.getLogger(__name__)


def suspended(desk: Desk) -> frozenset[NodeName]:
    """The study's nodes whose signatures the ledger counts no longer."""
    return frozenset(node for node in desk.study.nodes if desk.ledger.suspended(desk.study_id, desk.node_address(node)))


def report(sitting: Sitting) -> tuple[NodeName, ...]:
    """Have every node suspended that signed two results of this round; those that were reported now, by this actor or meanwhile."""
    desk, reported = sitting.desk, []
    for node in desk.study.nodes if sitting.state.study == desk.study_id else ():
        signed = _conflicting(sitting, node)
        if signed is None or desk.ledger.suspended(desk.study_id, desk.node_address(node)):
            continue
        try:
            desk.outbox().send(partial(desk.ledger.report_equivocation, *signed), f"equivocation-{sitting.round_id}-{node}")
        except ContractRefused as error:
            if error.error != "SuspendedNode":  # else somebody else was faster: anybody may report
                raise
        _LOG.warning("round %d: %s signed two results; the ledger suspended it", sitting.round_id, node)
        reported.append(node)
    return tuple(reported)


def _conflicting(sitting: Sitting, node: NodeName) -> tuple[Result, str, Result, str] | None:
    """Two different results of this round that the node signed, each with its signature."""
    desk, found = sitting.desk, {}
    # A node that hides two votes among much else is not caught: neither of them counts (`pipeline.roles.board`).
    digests = desk.board.some_digests(places.statement(sitting.round_id, Kind.VOTE, node))
    for digest in digests if len(digests) > 1 else ():
        try:
            vote = desk.board.statement(sitting.round_id, Kind.VOTE, node, digest)
            result = signing.check_vote(vote, desk.ledger.chain_id, desk.ledger.contract, desk.node_address(node))
        except Rejected:
            continue
        if result.round == sitting.round_id:
            found[result] = vote.signature
    for (first, one), (second, other) in combinations(found.items(), 2):
        return first, one, second, other
    return None
