"""A node's intake in a round: the part of its verification that comes before the engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipeline.domain import Kind, NodeName, RoundId
from pipeline.round.custody import Custody
from pipeline.round.input_set import Inputs, agree
from pipeline.round.journal import Journal
from pipeline.round.manifests import committed
from pipeline.round.study_history import lineage
from pipeline.store import object_keys
from tests.support.installed import Installed
from tests.support.rounds import Play

_PATIENCE = 60


def take_in(site: Installed, play: Play, round_id: RoundId, node: NodeName) -> Inputs:
    """What one node takes in, once all have said what they saw."""
    ctx = site.node_context(play, round_id, node)
    home = ctx.worker.identity.home
    custody = Custody(home, round_id)
    taken = committed(ctx, lineage(ctx.worker).quarantined)
    deadline = time.monotonic() + _PATIENCE
    return agree(ctx, taken, custody.sealing_key(), Journal(home / "journal"), deadline, custody.keep())


def take_in_at_all(
    site: Installed, play: Play, round_id: RoundId, *between: Callable[[], object]
) -> dict[NodeName, Inputs]:
    """What each node takes in.

    `between` happens one after the other, each when one node more has posted its inventory.
    """
    acts = list(between)
    with ThreadPoolExecutor(len(play.study.nodes)) as threads:
        running = {}
        for node in play.study.nodes:
            running[node] = threads.submit(take_in, site, play, round_id, node)
            if acts:
                await_statement(site, round_id, Kind.INVENTORY, node)
                acts.pop(0)()
        return {node: thread.result() for node, thread in running.items()}


def await_statement(site: Installed, round_id: RoundId, kind: Kind, node: NodeName) -> None:
    """Wait until a node has posted a statement of this kind."""
    deadline = time.monotonic() + _PATIENCE
    while not site.board().digests(object_keys.statement(round_id, kind, node)):
        assert time.monotonic() < deadline, f"{node} posted no {kind}"
        time.sleep(0.05)


def signed_sets(site: Installed, play: Play, round_id: RoundId) -> list[dict[str, Any]]:
    """The input set of each node, as it signed it."""
    return [dict(site.said(round_id, Kind.INPUT_SET, node).body) for node in play.study.nodes]
