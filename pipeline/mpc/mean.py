"""The plain mean of large models without an engine: component sums are opened, block by block.

A sum of shares is a share of the sum, and who is summed is public. So every node adds its own components of the
accepted hospitals and says the digests of what came out; then each node gets the one component sum that it lacks from a
holder, and checks it against those digests. Every component has two holders among three nodes, of which both must
agree, and three among four, of which the majority decides: with at most one corrupt node, what agrees is right. Opened
are the component sums, which hold nothing but their total: the others are uniform.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np

from pipeline.domain import HospitalName, NodeName, Sha256, sha256_text
from pipeline.errors import EvidenceRejected, RoundAborted
from pipeline.evidence.canonical import sha256
from pipeline.mpc.rule import FEWEST_ACCEPTED
from pipeline.mpc.sharing import Vector, component_digest, held_by
from pipeline.mpc.spool import Part, Spool

BLOCK = 1 << 19
"""Words that are summed, sealed and sent at once: 4 MB."""

LargeComponents = Mapping[HospitalName, Mapping[int, Part]]
"""Hospital to component index to words: what one node holds."""


@dataclass(frozen=True)
class Sums:
    """What one node says that it sums, and the digest of every block of its component sums."""

    accepted: tuple[HospitalName, ...]
    blocks: Mapping[int, tuple[Sha256, ...]]

    def body(self) -> dict[str, Any]:
        """The JSON body that the node signs."""
        return {
            "accepted": list(self.accepted),
            "blocks": {str(index): list(digests) for index, digests in self.blocks.items()},
        }

    @classmethod
    def parse(cls, body: Mapping[str, Any], node: NodeName, index: int, nodes: int, length: int) -> Sums:
        """Read what the node with this index signed.

        Raises EvidenceRejected on components that it does not hold or another length.
        """
        held = set(held_by(index, nodes))
        blocks = body.get("blocks")
        accepted = body.get("accepted")
        if (
            not isinstance(blocks, dict)
            or set(blocks) != {str(component) for component in held}
            or not isinstance(accepted, list)
        ):
            raise EvidenceRejected(f"{node}: got component sums that are not those of components {sorted(held)}")
        count = len(range(0, length, BLOCK))
        read = {}
        for component in held:
            digests = blocks[str(component)]
            if not isinstance(digests, list) or len(digests) != count:
                raise EvidenceRejected(
                    f"{node}: component sum {component}: got another number of blocks, want {count} for {length} words"
                )
            read[component] = tuple(
                sha256_text(digest, f"{node}: block of component sum {component}") for digest in digests
            )
        return cls(tuple(HospitalName(str(name)) for name in accepted), read)


@dataclass(frozen=True)
class Agreement:
    """Which digests hold, and who says so."""

    blocks: Mapping[int, tuple[Sha256, ...]]
    holders: Mapping[int, tuple[NodeName, ...]]
    """Component to the nodes whose sums are all agreed ones, of those that hold it, in the study's order: the first
    sends it."""
    deviating: tuple[NodeName, ...]
    """Nodes that said another sum than the majority."""


class Exchange(Protocol):
    """How a node speaks with the others while a mean is opened."""

    def say(self, sums: Sums) -> Mapping[NodeName, Sums]:
        """Sign and post what this node sums; what every node said, its own included.

        Raises Unavailable naming who is missing.
        """

    def lend(self, node: NodeName, component: int, number: int, words: Vector) -> None:
        """Send a block of a component sum to the node that lacks it, for its eyes only."""

    def borrow(self, holder: NodeName, component: int, number: int, digest: Sha256, size: int) -> Vector:
        """A block of `size` words with this digest from its holder, waiting for it.

        Raises RoundAborted when it does not come.
        """


def agree(said: Mapping[NodeName, Sums], nodes: Sequence[NodeName]) -> Agreement:
    """Compare what the holders of each component said.

    Raises RoundAborted when no majority of its holders agrees or the sets differ.
    """
    if len({sums.accepted for sums in said.values()}) > 1:
        raise RoundAborted(
            "the nodes sum the updates of different hospitals: "
            + "; ".join(f"{n}: {len(said[n].accepted)}" for n in nodes)
        )
    blocks = {}
    deviating = set[NodeName]()
    for component in range(len(nodes)):
        claims = {node: said[node].blocks[component] for index, node in enumerate(nodes) if index != component}
        (agreed, votes), *_ = Counter(claims.values()).most_common(1)
        # of two holders both, of three two: more than the one node that may be corrupt
        if votes < 2:
            raise RoundAborted(
                f"component sum {component}: {' and '.join(claims)} say different sums, so one of them computed it"
                " wrongly or lies; compare their logs and inputs, the signed statements are in the store"
            )
        blocks[component] = agreed
        deviating |= {node for node, claim in claims.items() if claim != agreed}
    reliable = [(index, node) for index, node in enumerate(nodes) if node not in deviating]
    holders = {component: tuple(node for index, node in reliable if index != component) for component in blocks}
    return Agreement(blocks, holders, tuple(node for node in nodes if node in deviating))


def open_sum(
    components: LargeComponents,
    accepted: Sequence[HospitalName],
    length: int,
    nodes: Sequence[NodeName],
    me: NodeName,
    exchange: Exchange,
    kept: Spool,
    output: BinaryIO,
) -> Agreement:
    """Write the sum of the accepted updates, `length` little-endian words, to `output`.

    `kept` takes this node's component sums meanwhile. Raises RoundAborted when the nodes disagree.
    """
    if len(accepted) < FEWEST_ACCEPTED:
        raise RoundAborted(
            f"got {len(accepted)} accepted updates, want at least {FEWEST_ACCEPTED}: the sum of fewer opens single ones"
        )
    index = nodes.index(me)
    held = held_by(index, len(nodes))
    digests: dict[int, list[Sha256]] = {component: [] for component in held}
    blocks: list[dict[int, Part]] = []
    for sums in _sums(components, accepted, held, length):
        for component, words in sums.items():
            digests[component].append(component_digest(words))
        blocks.append({component: kept.keep([words]) for component, words in sums.items()})
    said = exchange.say(
        Sums(tuple(accepted), {component: tuple(block_digests) for component, block_digests in digests.items()})
    )
    agreement = agree(said, nodes)
    if me in agreement.deviating:
        raise RoundAborted(
            f"{me}: computed another component sum than the other holders; this node's inputs or memory are damaged"
        )
    for number, parts in enumerate(blocks):
        sums = {component: part[:] for component, part in parts.items()}
        for component, words in sums.items():
            if component_digest(words) != agreement.blocks[component][number]:
                raise RoundAborted(
                    f"{me}: component sum {component} changed while it was opened; this node's disk or memory is"
                    " damaged"
                )
            if agreement.holders[component][0] == me:
                exchange.lend(nodes[component], component, number, words)
        total = sum(sums.values(), start=_borrowed(exchange, agreement, index, number, length))
        output.write(total.astype("<i8", copy=False).tobytes())
    return agreement


def _borrowed(exchange: Exchange, agreement: Agreement, lacking: int, number: int, length: int) -> Vector:
    size = min(BLOCK, length - number * BLOCK)
    digest = agreement.blocks[lacking][number]
    words = exchange.borrow(agreement.holders[lacking][0], lacking, number, digest, size)
    if sha256(words.astype("<i8", copy=False).tobytes()) != digest or len(words) != size:
        raise RoundAborted(f"component sum {lacking}: got a block that is not the one that its holders agreed on")
    return words


def _sums(
    components: LargeComponents, accepted: Sequence[HospitalName], held: Sequence[int], length: int
) -> Iterator[dict[int, Vector]]:
    """Block by block, this node's component sums over the accepted hospitals."""
    for start in range(0, length, BLOCK):
        piece = slice(start, min(start + BLOCK, length))
        sums = {}
        for component in held:
            total = np.zeros(piece.stop - start, dtype=np.int64)
            for hospital in accepted:
                total += components[hospital][component][piece]
            sums[component] = total
        yield sums
