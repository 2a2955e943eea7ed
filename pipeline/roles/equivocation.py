"""A node that decided one round twice, by two results, two ends without one, or one of each.

Whoever gathers what nodes signed and sees both puts them on the ledger, which suspends the node.
"""

from __future__ import annotations

import logging
from functools import partial
from itertools import combinations

from pipeline import places
from pipeline.domain import Decision, NodeName
from pipeline.errors import ContractRefused, Rejected
from pipeline.roles import ballots
from pipeline.roles.desk import Desk, Sitting

_LOG = logging.getLogger(__name__)


def suspended(desk: Desk) -> frozenset[NodeName]:
    """The study's nodes whose signatures the ledger counts no longer."""
    return frozenset(node for node in desk.study.nodes if desk.ledger.suspended(desk.study_id, desk.node_address(node)))


def report(sitting: Sitting) -> tuple[NodeName, ...]:
    """Have every node suspended that decided this round twice; those that were reported now, by this actor or meanwhile."""
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
        _LOG.warning("round %d: %s decided it twice; the ledger suspended it", sitting.round_id, node)
        reported.append(node)
    return tuple(reported)


def _conflicting(sitting: Sitting, node: NodeName) -> tuple[Decision, str, Decision, str] | None:
    """Two different decisions about this round that the node signed, each with its signature."""
    board, round_id, found = sitting.desk.board, sitting.round_id, dict[Decision, str]()
    # A node that hides two decisions among much else is not caught: neither of them counts (`pipeline.roles.board`).
    posted = [
        (ballot, digest) for ballot in ballots.BALLOTS for digest in board.some_digests(places.statement(round_id, ballot.kind, node))
    ]
    for ballot, digest in posted if len(posted) > 1 else ():
        try:
            statement = board.statement(round_id, ballot.kind, node, digest)
            decision = ballot.check(sitting, node)(statement)
        except Rejected:
            continue
        if decision.round == round_id:
            found[decision] = statement.signature
    for (first, one), (second, other) in combinations(found.items(), 2):
        return first, one, second, other
    return None
