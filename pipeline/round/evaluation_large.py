"""The large-model mode: project the components by a drawn seed, try the models, open the mean.

docs/adr/0007-large-models.md, docs/adr/0032-large-models-are-tried-too.md.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from nacl.public import PrivateKey, PublicKey

from pipeline.domain import HospitalName, Kind, NodeName, Sha256
from pipeline.errors import Rejected, RoundAborted
from pipeline.host.files import replacing
from pipeline.mpc import mean
from pipeline.mpc.engines.base import ProjectedTask, Task
from pipeline.mpc.envelope import Envelope
from pipeline.mpc.mean import Sums
from pipeline.mpc.projections import of_components
from pipeline.mpc.sharing import Vector, component_digest
from pipeline.mpc.spool import spool
from pipeline.round import seed
from pipeline.round.evaluation import Evaluation, Verified
from pipeline.round.input_set import Inputs, say_once
from pipeline.round.journal import Journal
from pipeline.round.node_round import NodeRound
from pipeline.round.parameters import in_order, rule_parameters
from pipeline.round.payload import before_counts
from pipeline.round.study_history import StudyHistory
from pipeline.round.worker import RoundContext
from pipeline.store import object_keys
from pipeline.study.study import Study

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2


class LargeEvaluation(Evaluation):
    """Size and direction on random projections and peers, under encryption, and a plain mean of what was accepted."""

    def verify(self, node: NodeRound, inputs: Inputs, past: StudyHistory) -> Verified:
        """Draw the seed with all nodes, then run this node's party on projections, updates and samples."""
        study = node.ctx.study
        drawn = seed.draw(node)
        task = ProjectedTask(
            in_order(study, inputs.digests, drawn),
            study.network,
            rule_parameters(study, past.finished, past.budget),
            node.ctx.model.parameters,
            drawn,
        )
        projected = of_components(inputs.components, study.network.size, drawn)
        judged = inputs.first(before_counts(study))
        output = node.engine.verify_projected(study.protocol, task, projected, judged, node.party("verify"))
        return Verified.of(inputs, task, output, drawn)

    def open(self, node: NodeRound, inputs: Inputs, accepted: Sequence[HospitalName]) -> dict[str, Any]:
        """Open the sum into the node's own file."""
        key = node.custody.sealing_key()
        return {"count": open_mean(node.ctx, inputs, accepted, key, node.journal, node.custody.total, node.deadline)}

    def total(self, node: NodeRound, opened: Mapping[str, Any]) -> Vector:
        """As it was written."""
        return np.fromfile(node.custody.total, dtype="<i8").astype(np.int64, copy=False)

    def tasks(self, study: Study) -> Sequence[Task]:
        """A first and a later round."""
        nothing = np.zeros(study.network.size, dtype=np.int64)
        return [
            ProjectedTask(study.hospitals, study.network, rule_parameters(study, 0, budget), nothing, Sha256("0" * 64))
            for budget in (None, 0)
        ]


def open_mean(
    ctx: RoundContext,
    inputs: Inputs,
    accepted: Sequence[HospitalName],
    key: PrivateKey,
    journal: Journal,
    path: Path,
    deadline: float,
) -> int:
    """Write the sum of the accepted updates to a file; returns how many they are.

    Raises RoundAborted when the nodes disagree.
    """
    worker = ctx.worker
    me = NodeName(ctx.worker.identity.name)
    with replacing(path, mode=0o600) as output, spool(worker.identity.home / "work") as sums:
        exchange = _StoreExchange(ctx, key, journal, deadline)
        size = worker.study.network.size
        nodes = worker.study.nodes
        agreement = mean.open_sum(inputs.components, accepted, size, nodes, me, exchange, sums, output)
    for node in agreement.deviating:
        _log.warning(
            "round %s: %s signed another component sum than the other holders; it was outvoted", ctx.round_id, node
        )
    return len(accepted)


@dataclass(frozen=True)
class _StoreExchange:
    """Sums are signed statements; blocks go through the mailbox, sealed for the node that lacks them."""

    ctx: RoundContext
    key: PrivateKey
    journal: Journal
    deadline: float

    @cached_property
    def _keys(self) -> Mapping[NodeName, PublicKey]:
        return self.ctx.sealing_keys()

    def say(self, sums: Sums) -> Mapping[NodeName, Sums]:
        """Sign and post what this node sums; what every node said."""
        ctx = self.ctx
        worker = self.ctx.worker
        nodes = worker.study.nodes
        size = worker.study.network.size
        body: dict[str, Any] = sums.body()
        if say_once(ctx, self.journal, Kind.COMPONENT_SUMS, body) != body:
            raise RoundAborted(
                f"round {ctx.round_id}: {worker.identity.name} signed other component sums before; it opens nothing"
                " twice"
            )
        node_sums = {}
        for node, statement in worker.board.wait(
            ctx.round_id, Kind.COMPONENT_SUMS, nodes, self.deadline, ctx.check
        ).items():
            node_sums[node] = Sums.parse(statement.body, node, nodes.index(node), len(nodes), size)
        return node_sums

    def lend(self, node: NodeName, component: int, number: int, words: Vector) -> None:
        """Seal a block for the node that lacks it."""
        ctx = self.ctx
        me = NodeName(self.ctx.worker.identity.name)
        data = self._envelope(node, component, number, len(words)).seal({component: words}, self._keys[node])
        ctx.worker.board.post(object_keys.lent_sum(ctx.round_id, me, node, number), data)

    def borrow(self, holder: NodeName, component: int, number: int, digest: Sha256, size: int) -> Vector:
        """Wait for a block and open it."""
        ctx = self.ctx
        board = self.ctx.worker.board
        me = NodeName(self.ctx.worker.identity.name)
        key_prefix = object_keys.lent_sum(ctx.round_id, holder, me, number)
        envelope = self._envelope(me, component, number, size)
        while time.monotonic() < self.deadline:
            for sealed in board.digests(key_prefix):
                try:
                    words = envelope.unseal(board.fetch(key_prefix, sealed, envelope.size), self.key)[component]
                except Rejected:
                    continue
                if component_digest(words) == digest:
                    return words
            time.sleep(_POLL_SECONDS)
        raise RoundAborted(
            f"round {ctx.round_id}: {holder} signed component sum {component} but did not lend its block {number}; is"
            " that node up?"
        )

    def _envelope(self, node: NodeName, component: int, number: int, size: int) -> Envelope:
        # a lent block is bound to a name that no hospital can have
        return Envelope(self.ctx.context, HospitalName(f"sum/{number}"), node, (component,), size)
