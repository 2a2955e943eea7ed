"""The mean of large models is exact, and one node that sums wrongly changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain import HospitalName, NodeName, Sha256
from pipeline.errors import EvidenceRejected, RoundAborted
from pipeline.mpc import mean
from pipeline.mpc.mean import LargeComponents, Sums
from pipeline.mpc.sharing import Vector
from pipeline.mpc.spool import spool
from tests.support.openings import open_everywhere
from tests.support.parties import deal

NAMES = tuple(HospitalName(f"hospital-{place}") for place in range(4))
LENGTH = 21


@pytest.fixture(autouse=True, scope="module")
def blocks_of_eight_words() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mean, "BLOCK", 8)
        yield


def updates(seed: int = 0) -> dict[HospitalName, Vector]:
    generator = np.random.default_rng(seed)
    return {name: generator.integers(-(2**63), 2**63, LENGTH, dtype=np.int64) for name in NAMES}


def with_a_wrong_word(held: LargeComponents, component: int, hospital: HospitalName) -> LargeComponents:
    """One component altered at one node, in its second block."""
    words = np.array(held[hospital][component][:])
    words[9] += 1
    return {**held, hospital: {**held[hospital], component: words}}


@pytest.mark.parametrize("nodes", [3, 4])
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32), accepted=st.sets(st.sampled_from(NAMES), min_size=3))
def test_every_node_opens_the_exact_sum_of_the_accepted_and_of_nobody_else(
    nodes: int, seed: int, accepted: set[HospitalName]
) -> None:
    payloads = updates(seed)
    chosen = tuple(sorted(accepted))
    expected = np.sum([payloads[name] for name in chosen], axis=0, dtype=np.int64)
    for found in open_everywhere(deal(payloads, nodes, seed), chosen, LENGTH):
        assert not isinstance(found, RoundAborted)
        assert np.array_equal(found[0], expected)
        assert found[1].deviating == ()


@pytest.mark.parametrize("component", [1, 2])
def test_among_three_nodes_a_wrong_component_sum_opens_nothing_anywhere(component: int) -> None:
    held = list(deal(updates(), 3))
    held[0] = with_a_wrong_word(held[0], component, NAMES[1])
    for found in open_everywhere(held, NAMES, LENGTH):
        assert isinstance(found, RoundAborted)
        assert f"component sum {component}" in str(found)
        assert "node-0" in str(found)


@pytest.mark.parametrize("liar", range(4))
def test_among_four_nodes_the_majority_of_its_holders_corrects_a_wrong_component_sum(liar: int) -> None:
    held = list(deal(updates(), 4))
    component = (liar + 1) % 4
    held[liar] = with_a_wrong_word(held[liar], component, NAMES[2])
    expected = np.sum(list(updates().values()), axis=0, dtype=np.int64)
    for index, found in enumerate(open_everywhere(held, NAMES, LENGTH)):
        if index == liar:
            assert isinstance(found, RoundAborted)
        else:
            assert not isinstance(found, RoundAborted)
            assert np.array_equal(found[0], expected)
            assert found[1].deviating == (NodeName(f"node-{liar}"),)


def test_a_block_that_is_not_what_its_holders_signed_is_not_added() -> None:
    found = open_everywhere(deal(updates(), 3), NAMES, LENGTH, spoils={0: lambda words: words + 1})
    # what node 0 itself lacks comes from node 1, which stops at the first wrong block
    assert all(isinstance(each, RoundAborted) for each in found)
    assert "not the one that its holders agreed on" in str(found[2])


def test_a_sum_of_fewer_than_three_updates_is_never_opened() -> None:
    for found in open_everywhere(deal(updates(), 3), NAMES[:2], LENGTH):
        assert isinstance(found, RoundAborted)


def test_nodes_that_sum_other_hospitals_do_not_lend_one_another_anything() -> None:
    sums = {NodeName(f"node-{index}"): said(NAMES[: 3 + index // 2], index) for index in range(3)}
    with pytest.raises(RoundAborted, match="different hospitals"):
        mean.agree(sums, tuple(sums))


@pytest.mark.parametrize(
    "change",
    [
        {"blocks": {"0": ["0" * 64] * 3}},
        {"blocks": {"0": ["0" * 64] * 3, "1": ["0" * 64] * 3}},
        {"blocks": {"1": ["0" * 64] * 3, "2": ["0" * 64] * 2}},
        {"blocks": {"1": ["0" * 64] * 3, "2": ["0" * 63] * 3}},
        {"blocks": {"1": ["0" * 64] * 3, "2": 7}},
        {"accepted": None},
        {"blocks": None},
    ],
)
def test_a_statement_of_component_sums_that_cannot_be_is_refused(change: Mapping[str, object]) -> None:
    body = said(NAMES, 0).body()
    assert Sums.parse(body, NodeName("north"), 0, 3, LENGTH) == said(NAMES, 0)
    with pytest.raises(EvidenceRejected, match="north"):
        Sums.parse(body | change, NodeName("north"), 0, 3, LENGTH)


def said(accepted: tuple[HospitalName, ...], index: int) -> Sums:
    return Sums(accepted, {each: (Sha256("0" * 64),) * 3 for each in range(3) if each != index})


def test_a_spooled_vector_reads_like_the_vector_and_leaves_no_file(tmp_path: Path) -> None:
    vectors = list(updates().values())
    with spool(tmp_path / "work") as kept:
        spooled = [kept.keep([vector[:3], vector[3:]]) for vector in vectors]
        assert not list((tmp_path / "work").iterdir())
        for vector, each in zip(vectors, spooled, strict=True):
            assert len(each) == LENGTH
            for piece in (slice(None), slice(3, 11), slice(16, 40), slice(30, 40)):
                assert np.array_equal(each[piece], vector[piece])
