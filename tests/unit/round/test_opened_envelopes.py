"""What a node keeps of a round.

It reads back as it was put, by its key and in its place only, and damage is as good as nothing.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.domain import Sha256
from pipeline.errors import EvidenceRejected, Unavailable
from pipeline.host.secret import Secret
from pipeline.mpc.projections import project
from pipeline.mpc.sharing import Vector, component_digest
from pipeline.round.opened_envelopes import OpenedEnvelopes

ELM = Sha256("e" * 64)
ASTER = Sha256("a" * 64)
LENGTH = 10_000


@pytest.fixture
def vector() -> Vector:
    return np.random.default_rng(7).integers(-(2**63), 2**63, LENGTH, dtype=np.int64)


@pytest.fixture
def keep(tmp_path: Path) -> OpenedEnvelopes:
    return OpenedEnvelopes(tmp_path / "opened" / "3", Secret.generate())


def put(keep: OpenedEnvelopes, vector: Vector, index: int = 1, cuts: tuple[int, ...] = (3, 4096, 9000)) -> Path:
    keep.put(ELM, index, len(vector), np.split(vector, cuts), component_digest(vector))
    return keep.folder / f"{ELM}-{index}"


@pytest.mark.parametrize("cuts", [(), (1,), (4096, 8192), (3, 4096, 9000)])
@pytest.mark.parametrize("length", [1, 4095, 4096, 4097, LENGTH])
def test_a_component_reads_like_the_vector_that_was_put(
    keep: OpenedEnvelopes, vector: Vector, length: int, cuts: tuple[int, ...]
) -> None:
    vector = vector[:length]
    put(keep, vector, cuts=cuts)
    found = keep.get(ELM, 1, length)
    assert found is not None
    assert len(found) == length
    for piece in (slice(None), slice(0, 0), slice(3, 11), slice(4000, 5000), slice(4096, 8192), slice(9990, 20_000)):
        assert np.array_equal(found[piece], vector[piece])


def test_a_projection_of_what_was_kept_is_the_vectors(keep: OpenedEnvelopes, vector: Vector) -> None:
    put(keep, vector)
    found = keep.get(ELM, 1, LENGTH)
    assert found is not None
    assert np.array_equal(project([found], LENGTH, ELM), project([vector], LENGTH, ELM))


def test_another_component_than_was_announced_is_not_kept(keep: OpenedEnvelopes, vector: Vector) -> None:
    with pytest.raises(EvidenceRejected, match="component 1: got"):
        keep.put(ELM, 1, LENGTH, [vector + 1], component_digest(vector))
    assert not list(keep.folder.iterdir())


def test_a_component_that_breaks_off_is_not_kept(keep: OpenedEnvelopes, vector: Vector) -> None:
    def breaking_off() -> Vector:
        raise EvidenceRejected("the second box is damaged")

    with pytest.raises(EvidenceRejected, match="damaged"):
        keep.put(ELM, 1, LENGTH, (part() for part in (lambda: vector[:5000], breaking_off)), component_digest(vector))
    assert not list(keep.folder.iterdir())


def test_the_files_hold_no_word_of_it_and_are_their_owners(keep: OpenedEnvelopes, vector: Vector) -> None:
    path = put(keep, np.full(LENGTH, 0x1122334455667788, np.int64))
    assert (0x1122334455667788).to_bytes(8, "little") not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def swapped(path: Path) -> None:
    """Its first two pieces change places."""
    data = path.read_bytes()
    size = path.stat().st_size - 8 * (LENGTH - 8192)
    piece = size // 2 - 20
    path.write_bytes(data[piece : 2 * piece] + data[:piece] + data[2 * piece :])


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[: 4096 * 8 + 40]),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
        swapped,
    ],
    ids=["gone", "emptied", "cut", "cut after a piece", "a bit flipped", "pieces swapped"],
)
def test_what_is_damaged_is_not_there(keep: OpenedEnvelopes, vector: Vector, change: Callable[[Path], object]) -> None:
    change(put(keep, vector))
    assert keep.get(ELM, 1, LENGTH) is None


def test_damage_that_comes_later_is_said_and_not_read(keep: OpenedEnvelopes, vector: Vector) -> None:
    path = put(keep, vector)
    found = keep.get(ELM, 1, LENGTH)
    assert found is not None
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(Unavailable, match="other bytes than this node wrote"):
        found[:]


def test_no_component_stands_for_another(keep: OpenedEnvelopes, vector: Vector) -> None:
    path = put(keep, vector)
    for name in (f"{ELM}-2", f"{ASTER}-1"):
        (keep.folder / name).write_bytes(path.read_bytes())
    assert keep.get(ELM, 2, LENGTH) is None
    assert keep.get(ASTER, 1, LENGTH) is None
    assert keep.get(ELM, 1, LENGTH - 1) is None
    assert OpenedEnvelopes(keep.folder, Secret.generate()).get(ELM, 1, LENGTH) is None
    assert keep.get(ELM, 1, LENGTH) is not None
