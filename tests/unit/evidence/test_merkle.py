from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain import Sha256
from pipeline.errors import EvidenceRejected
from pipeline.evidence import merkle
from pipeline.evidence.canonical import sha256

# npm @openzeppelin/merkle-tree 1.0.8: StandardMerkleTree.of([["0x" + sha256("manifest i")] for i < n], ["bytes32"])
_ROOTS = {
    1: "7f8e40df7979de7cac5098ffdb17bcbec516108a30c37bf3e71362948a2fb612",
    2: "e2be52783eacaa06f5062adec4a8a6d1c59002fe701ea87bd3ae30ebf84a17d1",
    3: "983b980d4b4b85f77ed5f879210397f846ca1a82bd8e96f05b20f20403a1fd32",
    5: "495586311df141c099f88c05c7abbae977a45aeb0376f2b3b8834e1c44d469a7",
    8: "2ff271e218a9c3fe49eb62ae386b673a7ba8951692678a60788cd1ff9d17f9e6",
    20: "ffa3d37ac5e7f749fe1deac067374fd09770ad24405385f2118e2b9e87ba8183",
}
_PROOF_OF_FIRST_OF_FIVE = (
    "9d9be14e95e59fce7b71a112dce2f5ceffda9175f32f58113b8503981cacba8b",
    "02ed626c3f6610ec884e446a58613884f353c0256a5a656aa0daee09214cfbda",
)


def _manifests(count: int) -> list[Sha256]:
    return [sha256(f"manifest {index}".encode()) for index in range(count)]


@pytest.mark.parametrize(("count", "root"), _ROOTS.items())
def test_roots_equal_openzeppelins(count: int, root: str) -> None:
    assert merkle.root(_manifests(count)) == root


def test_proofs_equal_openzeppelins() -> None:
    manifests = _manifests(5)
    assert merkle.proof(manifests, manifests[0]) == _PROOF_OF_FIRST_OF_FIVE


@given(st.integers(1, 40), st.data())
def test_every_member_has_a_proof_that_no_other_value_passes(count: int, data: st.DataObject) -> None:
    manifests = _manifests(count)
    member = data.draw(st.sampled_from(manifests))
    proof = merkle.proof(manifests, member)
    assert merkle.verify(merkle.root(manifests), member, proof)
    assert not merkle.verify(merkle.root(manifests), sha256(b"a stranger's manifest"), proof)


def test_the_order_of_the_values_does_not_change_the_root() -> None:
    assert merkle.root(_manifests(7)[::-1]) == merkle.root(_manifests(7))


def test_an_inner_node_is_no_leaf() -> None:
    manifests = _manifests(4)
    inner = Sha256(merkle.proof(manifests, manifests[0])[-1])
    assert not merkle.verify(merkle.root(manifests), inner, merkle.proof(manifests, manifests[0])[:-1])


@pytest.mark.parametrize("values", [[], _manifests(1) * 2])
def test_an_empty_or_doubled_set_has_no_root(values: list[Sha256]) -> None:
    with pytest.raises(EvidenceRejected, match="all different"):
        merkle.root(values)
