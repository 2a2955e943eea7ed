"""Opens a mean between nodes that are threads of the test; a node may lie about what it sums."""

from __future__ import annotations

import io
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.domain import HospitalName, NodeName, Sha256
from pipeline.errors import RoundAborted
from pipeline.mpc import mean
from pipeline.mpc.mean import Agreement, LargeComponents, Sums
from pipeline.mpc.sharing import Vector
from pipeline.mpc.spool import spool

_SECONDS = 20


@dataclass
class Table:
    """What all nodes of one opening lay before one another."""

    nodes: Sequence[NodeName]
    said: dict[NodeName, Sums] = field(default_factory=dict)
    lent: dict[tuple[NodeName, int, int], Vector] = field(default_factory=dict)
    gone: set[NodeName] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)


@dataclass
class Neighbours:
    """One node's `Exchange`."""

    table: Table
    me: NodeName
    spoils: Callable[[Vector], Vector] = lambda words: words
    """What this node does to a block before it sends it."""

    def say(self, sums: Sums) -> Mapping[NodeName, Sums]:
        with self.table.changed:
            self.table.said[self.me] = sums
            self.table.changed.notify_all()
            assert self.table.changed.wait_for(lambda: len(self.table.said) == len(self.table.nodes), _SECONDS)
            return dict(self.table.said)

    def lend(self, node: NodeName, component: int, number: int, words: Vector) -> None:
        with self.table.changed:
            self.table.lent[self.me, component, number] = self.spoils(words)
            self.table.changed.notify_all()

    def borrow(self, holder: NodeName, component: int, number: int, digest: Sha256, size: int) -> Vector:
        with self.table.changed:
            key = (holder, component, number)
            assert self.table.changed.wait_for(lambda: key in self.table.lent or holder in self.table.gone, _SECONDS)
            if key not in self.table.lent:
                raise RoundAborted(f"{holder} has gone")
            return self.table.lent[key]


Opened = tuple[Vector, Agreement]


def open_everywhere(
    held: Sequence[LargeComponents],
    accepted: Sequence[HospitalName],
    length: int,
    spoils: Mapping[int, Callable[[Vector], Vector]] | None = None,
) -> list[Opened | RoundAborted]:
    """What each node opens, or why it does not."""
    nodes = tuple(NodeName(f"node-{index}") for index in range(len(held)))
    table = Table(nodes)

    def one(index: int) -> Opened | RoundAborted:
        exchange = Neighbours(table, nodes[index], (spoils or {}).get(index, lambda words: words))
        output = io.BytesIO()
        try:
            with tempfile.TemporaryDirectory() as folder, spool(Path(folder)) as kept:
                agreement = mean.open_sum(held[index], accepted, length, nodes, nodes[index], exchange, kept, output)
        except RoundAborted as error:
            with table.changed:
                table.gone.add(nodes[index])
                table.changed.notify_all()
            return error
        return np.frombuffer(output.getvalue(), "<i8").astype(np.int64), agreement

    with ThreadPoolExecutor(len(held)) as threads:
        return list(threads.map(one, range(len(held))))
