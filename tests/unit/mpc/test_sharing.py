import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain import Address, Context, RoundId, Sha256
from pipeline.host.secret import Secret
from pipeline.mpc import sharing

SECRET = Secret(b"s" * 32)
CONTEXT = Context(31337, Address("0x" + "1" * 40), Sha256("a" * 64), RoundId(7), Sha256("b" * 64))


def payload(*values: int) -> sharing.Vector:
    return np.array(values, dtype=np.int64)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=50), st.sampled_from([3, 4]))
def test_the_components_sum_to_the_payload(values: list[int], nodes: int) -> None:
    components = sharing.share(payload(*values), nodes, SECRET, CONTEXT)
    assert len(components) == nodes
    assert sum(components[1:], start=components[0]).tolist() == values


def test_a_rerun_gives_the_same_components() -> None:
    first, second = (sharing.share(payload(1, -2, 3), 3, SECRET, CONTEXT) for _ in range(2))
    assert [part.tolist() for part in first] == [part.tolist() for part in second]


@pytest.mark.parametrize(
    ("secret", "context", "values"),
    [
        (Secret(b"t" * 32), CONTEXT, (1, 2)),
        (SECRET, Context(31337, CONTEXT.contract, CONTEXT.study_digest, RoundId(8), CONTEXT.previous_model), (1, 2)),
        (SECRET, Context(31337, CONTEXT.contract, Sha256("c" * 64), RoundId(7), CONTEXT.previous_model), (1, 2)),
        (SECRET, CONTEXT, (1, 3)),
    ],
    ids=["another secret", "another round", "another study", "another payload"],
)
def test_no_component_is_used_twice(secret: Secret, context: Context, values: tuple[int, ...]) -> None:
    before = sharing.share(payload(1, 2), 3, SECRET, CONTEXT)
    after = sharing.share(payload(*values), 3, secret, context)
    assert all(old.tolist() != new.tolist() for old, new in zip(before, after, strict=True))


def test_every_two_nodes_of_three_hold_all_components_and_none_does_alone() -> None:
    held = [set(sharing.held_by(node, 3)) for node in range(3)]
    assert all(len(one) == 2 for one in held)
    assert all(held[first] | held[second] == {0, 1, 2} for first in range(3) for second in range(first))


def test_a_nodes_components_do_not_depend_on_the_payload_but_for_the_masked_one() -> None:
    components = sharing.share(np.zeros(4096, dtype=np.int64), 3, SECRET, CONTEXT)
    for component in components:
        ones = np.unpackbits(component.view(np.uint8)).mean()
        assert 0.49 < ones < 0.51
