"""OpenZeppelin's standard Merkle tree over 32-byte values: double-hashed leaves, sorted pairs.

Source: npm `@openzeppelin/merkle-tree` (StandardMerkleTree of type bytes32), contract `MerkleProof`.
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_utils.crypto import keccak

from pipeline.domain import Sha256
from pipeline.errors import EvidenceRejected


def root(values: Sequence[Sha256]) -> Sha256:
    """Root over `values`, in any order; raises EvidenceRejected when there is none or one stands twice."""
    return Sha256(_tree(values)[0].hex())


def proof(values: Sequence[Sha256], value: Sha256) -> tuple[str, ...]:
    """The sibling hashes from `value` up to the root, hexadecimal."""
    tree = _tree(values)
    index = tree.index(_leaf(value), len(tree) // 2)
    siblings = []
    while index:
        siblings.append(tree[index + 1 if index % 2 else index - 1].hex())
        index = (index - 1) // 2
    return tuple(siblings)


def verify(commit_root: Sha256, value: Sha256, siblings: Sequence[str]) -> bool:
    """Whether `value` stands under `commit_root`."""
    node = _leaf(value)
    for sibling in siblings:
        node = _pair(node, bytes.fromhex(sibling))
    return node.hex() == commit_root


def _tree(values: Sequence[Sha256]) -> list[bytes]:
    leaves = sorted(_leaf(value) for value in values)
    if not leaves or len(set(leaves)) != len(leaves):
        raise EvidenceRejected(
            f"got {len(leaves)} leaves of which {len(set(leaves))} differ, want at least one and all different"
        )
    tree = [b""] * (len(leaves) - 1) + leaves[::-1]
    for index in range(len(leaves) - 2, -1, -1):
        tree[index] = _pair(tree[2 * index + 1], tree[2 * index + 2])
    return tree


def _leaf(value: Sha256) -> bytes:
    return keccak(keccak(bytes.fromhex(value)))


def _pair(left: bytes, right: bytes) -> bytes:
    return keccak(min(left, right) + max(left, right))
