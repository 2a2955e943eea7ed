"""One round as one node works in it.

Its journal, what it holds until the end, its deadline, its party of a computation.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from pipeline.domain import NodeName, RoundId
from pipeline.mpc.engines import Engine, engine
from pipeline.mpc.engines.base import Party
from pipeline.round import ballots
from pipeline.round.custody import Custody
from pipeline.round.journal import Journal
from pipeline.round.worker import RoundContext, Worker
from pipeline.site.consortium import PORTS_PER_NODE

_STAGES = {"verify": 0, "counts": 1, "aggregate": 1, "floor": 0, "totals": 1}
"""Computation to the one of the round's two ports that it takes: a node may be in the next one of a step while another
still ends the one before. No node aggregates before all have verified."""
_PORTS = 2
_ROUND_PORTS = PORTS_PER_NODE // _PORTS


def journal(worker: Worker) -> Journal:
    """The node's journal of all rounds."""
    return Journal(worker.identity.home / "journal")


def custody(worker: Worker, round_id: RoundId) -> Custody:
    """What the node holds of a round."""
    return Custody(worker.identity.home, round_id)


@dataclass(frozen=True)
class NodeRound:
    """A node in one round that the ledger knows."""

    ctx: RoundContext

    @property
    def worker(self) -> Worker:
        """Who works."""
        return self.ctx.worker

    @property
    def journal(self) -> Journal:
        """The node's journal."""
        return journal(self.worker)

    @property
    def custody(self) -> Custody:
        """What the node holds of this round."""
        return custody(self.worker, self.ctx.round_id)

    @property
    def engine(self) -> Engine:
        """The study's engine on this machine."""
        return engine(self.worker.study.engine, self.worker.settings)

    @property
    def deadline(self) -> float:
        """The ledger's result deadline on this machine's monotonic clock."""
        return time.monotonic() + self.ctx.state.opened.result_deadline - self.worker.ledger.block_time()

    def party(self, stage: str) -> Party:
        """The node's party of one stage."""
        nodes = self.worker.study.nodes
        home = self.worker.identity.home
        log = home / "logs" / f"round-{self.ctx.round_id}-{stage}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        return Party(
            index=nodes.index(NodeName(self.worker.identity.name)),
            hosts=tuple(_host(self.worker.consortium.node(node).host, self.ctx.round_id, stage) for node in nodes),
            certificate=home / "tls" / "cert.pem",
            private_key=home / "tls" / "key.pem",
            peer_certificates=tuple(self.worker.pinned_certificate(node) for node in nodes),
            workdir=home / "work",
            log=log,
            deadline_seconds=max(1.0, self.deadline - time.monotonic()),
            gave_up=self._gave_up,
        )

    def _gave_up(self) -> str | None:
        """Another node that has signed the round's end, since it computes no more in this round."""
        name = self.worker.identity.name
        signed = ballots.signed(self.ctx, ballots.END, [node for node in self.worker.study.nodes if node != name])
        return f"{', '.join(signed)} signed the end of round {self.ctx.round_id}" if signed else None


def _host(base: str, round_id: RoundId, stage: str) -> str:
    """Where this node's party listens: each of the last rounds has two ports of its own.

    Rounds of two studies then do not meet on one.
    """
    host, port = base.rsplit(":", 1)
    return f"{host}:{int(port) + round_id % _ROUND_PORTS * _PORTS + _STAGES[stage]}"
