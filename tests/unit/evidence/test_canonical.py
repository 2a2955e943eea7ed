from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import canonical_json, digest, read_json, read_object, sha256
from tests.adversary import attack

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(alphabet=st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_keys_are_sorted_and_nothing_is_spaced() -> None:
    assert canonical_json({"b": 1, "a": [True, None, "ä"]}) == '{"a":[true,null,"ä"],"b":1}'.encode()


def test_sha256_is_the_standard_one() -> None:
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(_VALUES)
def test_canonical_bytes_survive_a_parse(value: object) -> None:
    once = canonical_json(value)
    assert canonical_json(json.loads(once)) == once
    assert canonical_json(read_json(once)) == once


def test_the_order_of_insertion_does_not_change_the_digest() -> None:
    assert digest({"x": 1, "y": 2}) == digest({"y": 2, "x": 1})


@pytest.mark.parametrize("value", [1.0, {"a": [0.5]}, {"a": {"b": float("nan")}}, (1, (2.5,))])
def test_floats_are_refused_wherever_they_stand(value: object) -> None:
    with pytest.raises(TypeError, match="no float"):
        canonical_json(value)


@pytest.mark.parametrize(
    "hostile",
    [b"[" * 10_000_000, b'{"a":' * 2_000_000, b"[" * 202 + b"]" * 202, b'{"a":' * 2_000_000 + b"1" + b"}" * 2_000_000],
    ids=["open lists", "open objects", "one level too many", "whole"],
)
@attack(
    by="node",
    to="stop",
    tries="to overflow the stack of whoever reads its statements",
    costs="nothing",
    seen="the statement, refused",
)
def test_deep_nesting_is_refused_and_the_process_lives(hostile: bytes) -> None:
    from web3 import Web3  # which lifts the interpreter's own limit

    assert Web3 is not None
    with pytest.raises(EvidenceRejected, match="200 levels deep"):
        read_json(hostile)


def test_nesting_within_the_limit_is_read() -> None:
    value = read_json(b"[" * 200 + b"]" * 200)
    assert canonical_json(value) == b"[" * 200 + b"]" * 200


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"NaN", b"-Infinity", b'"\\ud800"', b"1 2", b"\xef\xbb\xbf1", b"9" * 5_000]
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(EvidenceRejected, match="no JSON"):
        read_json(data)


def test_a_text_over_the_size_limit_is_refused_unread() -> None:
    assert read_json(b"[1]", largest=3) == [1]
    with pytest.raises(EvidenceRejected, match="got 4 bytes of JSON, want at most 3"):
        read_json(b"[12]", largest=3)


@pytest.mark.parametrize("data", [b"[]", b"null", b"1", b'"{}"'])
def test_an_object_is_wanted_and_nothing_else_is_one(data: bytes) -> None:
    with pytest.raises(EvidenceRejected, match="want an object"):
        read_object(data)
