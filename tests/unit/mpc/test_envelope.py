import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from nacl.public import PrivateKey

from pipeline.domain import Address, Context, HospitalName, NodeName, RoundId, Sha256
from pipeline.errors import EnvelopeRejected
from pipeline.mpc import envelope
from pipeline.mpc.envelope import Envelope
from tests.adversary import attack

KEY = PrivateKey(b"k" * 32)
CONTEXT = Context(31337, Address("0x" + "1" * 40), Sha256("a" * 64), RoundId(7), Sha256("b" * 64))
ELM = HospitalName("elm")
ASTER = HospitalName("aster")
NORTH = NodeName("north")
EAST = NodeName("east")
MEANT = Envelope(CONTEXT, ELM, NORTH, (1, 2), 3)
PARTS = {1: np.array([1, -1, 2**63 - 1], dtype=np.int64), 2: np.array([5, 6, -(2**63)], dtype=np.int64)}


def sealed() -> bytes:
    return MEANT.seal(PARTS, KEY.public_key)


def test_what_was_sealed_comes_out() -> None:
    opened = MEANT.unseal(sealed(), KEY)
    assert {index: part.tolist() for index, part in opened.items()} == {
        index: part.tolist() for index, part in PARTS.items()
    }


def test_the_size_is_known_before_opening() -> None:
    assert len(sealed()) == MEANT.size == envelope.sealed_size(2, 3)


@pytest.mark.parametrize(
    "other",
    [
        {"context": replace(CONTEXT, round=RoundId(8))},
        {"context": replace(CONTEXT, chain_id=1)},
        {"context": replace(CONTEXT, contract=Address("0x" + "2" * 40))},
        {"context": replace(CONTEXT, study_digest=Sha256("c" * 64))},
        {"context": replace(CONTEXT, previous_model=Sha256("c" * 64))},
        {"hospital": ASTER},
        {"node": EAST},
        {"indices": (0, 2)},
    ],
    ids=[
        "round",
        "chain",
        "contract",
        "study",
        "previous model",
        "copied by another hospital",
        "another node",
        "other components",
    ],
)
@attack(
    by="store_operator",
    to="change",
    tries="to hand a node an envelope of another round, study, hospital or node",
    costs="nothing",
    seen="nothing but a loan between nodes",
)
def test_an_envelope_bound_to_something_else_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(EnvelopeRejected, match="bound to another"):
        replace(MEANT, **other).unseal(sealed(), KEY)


@pytest.mark.parametrize("position", [0, 40, 90, -1])
def test_a_flipped_byte_is_refused(position: int) -> None:
    data = bytearray(sealed())
    data[position] ^= 1
    with pytest.raises(EnvelopeRejected):
        MEANT.unseal(bytes(data), KEY)


def test_another_rounds_key_does_not_open_it() -> None:
    with pytest.raises(EnvelopeRejected, match="key"):
        MEANT.unseal(sealed(), PrivateKey(b"x" * 32))


@pytest.mark.parametrize("size", [0, 1, envelope.sealed_size(2, 3) - 8, envelope.sealed_size(2, 3) + 1])
def test_another_size_is_refused_before_opening(size: int) -> None:
    with pytest.raises(EnvelopeRejected, match=f"{size} bytes"):
        MEANT.unseal(bytes(size), KEY)


def test_a_long_envelope_is_opened_piece_by_piece_and_no_piece_can_stand_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(envelope, "PIECE", 2)
    data = sealed()
    assert len(data) == MEANT.size
    pieces = list(MEANT.opened(io.BytesIO(data), len(data), KEY))
    assert [(index, words.tolist()) for index, words in pieces] == [
        (1, [1, -1]),
        (1, [2**63 - 1]),
        (2, [5, 6]),
        (2, [-(2**63)]),
    ]
    half = len(data) // 2
    with pytest.raises(EnvelopeRejected, match="bound to another"):
        MEANT.unseal(data[half:] + data[:half], KEY)
