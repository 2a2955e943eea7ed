"""What nodes sign to end a round, a result or an end without one, and to conclude a study.

How each is read, and which a majority of all nodes signed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from pipeline.domain import Abort, Conclusion, Kind, NodeName, Result, Statement
from pipeline.errors import Rejected
from pipeline.evidence import signing
from pipeline.round.worker import RoundContext

Decided = TypeVar("Decided", Result, Abort, Conclusion)


@dataclass(frozen=True)
class Ballot(Generic[Decided]):
    """One kind of decision: the statement that holds it, and what reads it from there and checks who signed."""

    kind: Kind
    read: Callable[..., Decided]

    def check(self, ctx: RoundContext, node: NodeName) -> Callable[[Statement], Decided]:
        """Takes a statement and returns the decision in it.

        Raises EvidenceRejected unless `node` signed that for this ledger.
        """
        worker = ctx.worker
        return partial(
            self.read,
            chain_id=worker.ledger.chain_id,
            contract=worker.ledger.contract,
            address=worker.node_address(node),
        )


VOTE = Ballot(Kind.VOTE, signing.check_vote)
END = Ballot(Kind.ABORT, signing.check_abort)
CONCLUSION = Ballot(Kind.CONCLUSION, signing.check_conclusion)

BALLOTS: tuple[Ballot[Result] | Ballot[Abort], ...] = (VOTE, END)
"""Of those that end a round, a node signs one."""


def signed(
    ctx: RoundContext, ballot: Ballot[Decided], nodes: Iterable[NodeName]
) -> Mapping[NodeName, tuple[Decided, str]]:
    """What each of `nodes` signed (so far), with the signature; none for one that signed two different decisions."""
    decisions = dict[NodeName, tuple[Decided, str]]()
    for node in nodes:
        check = ballot.check(ctx, node)
        try:
            statement = ctx.worker.board.only(ctx.round_id, ballot.kind, node, check)
            decisions[node] = (check(statement), statement.signature)
        except Rejected:
            continue
    return decisions


def majority(ctx: RoundContext, ballot: Ballot[Decided], barred: Set[NodeName]) -> tuple[Decided, list[str]] | None:
    """What a majority of all nodes signed, with the signatures of those not `barred`; None when there is nothing (yet).

    A node that signed two different decisions of one kind counts for neither.
    """
    nodes = ctx.worker.study.nodes
    decisions = signed(ctx, ballot, [node for node in nodes if node not in barred])
    for decision, signers in Counter(decision for decision, _ in decisions.values()).most_common(1):
        if signers > len(nodes) // 2:
            return decision, [signature for cast, signature in decisions.values() if cast == decision]
    return None
