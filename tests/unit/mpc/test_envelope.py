import io
from dataclasses import replace

import numpy as np
import pytest
from nacl.public import PrivateKey

from pipeline.domain import Address, Context, HospitalName, NodeName, RoundId, Sha256
from pipeline.errors import EnvelopeRejected
from pipeline.mpc import envelope

KEY = PrivateKey(b"k" * 32)
CONTEXT = Context(31337, Address("0x" + "1" * 40), Sha256("a" * 64), RoundId(7), Sha256("b" * 64))
ELM, ASTER, NORTH, EAST = HospitalName("elm"), HospitalName("aster"), NodeName("north"), NodeName("east")
PARTS = {1: np.array([1, -1, 2**63 - 1], dtype=np.int64), 2: np.array([5, 6, -(2**63)], dtype=np.int64)}


def sealed() -> bytes:
    return envelope.seal(PARTS, CONTEXT, ELM, NORTH, KEY.public_key)


def unseal(data: bytes, **other: object) -> dict[int, np.ndarray]:
    arguments = {"indices": (1, 2), "length": 3, "context": CONTEXT, "hospital": ELM, "node": NORTH, "key": KEY} | other
    return envelope.unseal(data, **arguments)  # type: ignore[arg-type]


def test_what_was_sealed_comes_out() -> None:
    opened = unseal(sealed())
    assert {index: part.tolist() for index, part in opened.items()} == {index: part.tolist() for index, part in PARTS.items()}


def test_the_size_is_known_before_opening() -> None:
    assert len(sealed()) == envelope.sealed_size(2, 3)


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
    ids=["round", "chain", "contract", "study", "previous model", "copied by another hospital", "another node", "other components"],
)
def test_an_envelope_bound_to_something_else_is_refused(other: dict[str, object]) -> None:
    with pytest.raises(EnvelopeRejected, match="bound to another"):
        unseal(sealed(), **other)


@pytest.mark.parametrize("position", [0, 40, 90, -1])
def test_a_flipped_byte_is_refused(position: int) -> None:
    data = bytearray(sealed())
    data[position] ^= 1
    with pytest.raises(EnvelopeRejected):
        unseal(bytes(data))


def test_another_rounds_key_does_not_open_it() -> None:
    with pytest.raises(EnvelopeRejected, match="key"):
        unseal(sealed(), key=PrivateKey(b"x" * 32))


@pytest.mark.parametrize("size", [0, 1, envelope.sealed_size(2, 3) - 8, envelope.sealed_size(2, 3) + 1])
def test_another_size_is_refused_before_opening(size: int) -> None:
    with pytest.raises(EnvelopeRejected, match=f"{size} bytes"):
        unseal(bytes(size))


def test_a_long_envelope_is_opened_piece_by_piece_and_no_piece_can_stand_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "PIECE", 2)
    data = sealed()
    assert len(data) == envelope.sealed_size(2, 3)
    pieces = list(envelope.opened(io.BytesIO(data), len(data), (1, 2), 3, CONTEXT, ELM, NORTH, KEY))
    assert [(index, words.tolist()) for index, words in pieces] == [(1, [1, -1]), (1, [2**63 - 1]), (2, [5, 6]), (2, [-(2**63)])]
    half = len(data) // 2
    with pytest.raises(EnvelopeRejected, match="bound to another"):
        unseal(data[half:] + data[:half])
