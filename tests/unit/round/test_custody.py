"""What a node holds of a round: made once, and all of it gone when the round ends, with nothing of another round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.domain import RoundId, Sha256
from pipeline.errors import Misconfigured
from pipeline.host.files import write_secret
from pipeline.mpc.sharing import component_digest
from pipeline.round import custody
from pipeline.round.custody import Custody

MANIFEST = Sha256("e" * 64)
WORDS = np.arange(5000)


def filled(home: Path, number: int) -> Custody:
    """A round in which the node has made and opened everything."""
    held = Custody(home, RoundId(number))
    held.make_sealing_key()
    held.make_nonce()
    held.keep().put(MANIFEST, 1, len(WORDS), [WORDS], component_digest(WORDS))
    write_secret(home / "journal" / f"total-{number}.i8", bytes(8))
    return held


def test_keys_are_made_once_and_what_was_kept_is_read_after_a_restart(tmp_path: Path) -> None:
    held = filled(tmp_path, 3)
    again = Custody(tmp_path, RoundId(3))
    assert bytes(again.make_sealing_key()) == bytes(held.sealing_key())
    assert again.make_nonce().reveal() == held.nonce().reveal()
    found = again.keep().get(MANIFEST, 1, len(WORDS))
    assert found is not None
    assert np.array_equal(found[:], WORDS)


def test_a_round_that_ends_leaves_nothing_and_takes_nothing_of_another_with_it(tmp_path: Path) -> None:
    before = {number: filled(tmp_path, number) for number in (1, 10, 11)}
    (tmp_path / "sealing" / ".1-keep.x7_q").write_bytes(b"what a killed process was writing")
    (tmp_path / "sealing" / ".12.x7_q").write_bytes(b"and of a round that it had not come to")
    assert custody.rounds(tmp_path) == (1, 10, 11, 12)
    for _ in range(2):
        before[1].destroy()
    assert custody.rounds(tmp_path) == (10, 11, 12)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {
        *("lock", "10", "10-nonce", "10-keep", "11", "11-nonce", "11-keep", ".12.x7_q"),
        *(f"{MANIFEST}-1", "total-10.i8", "total-11.i8"),
    }
    with pytest.raises(Misconfigured, match="got no file"):
        before[1].sealing_key()
    for number in (10, 11):
        assert before[number].keep().get(MANIFEST, 1, len(WORDS)) is not None
        assert before[number].nonce().reveal() == before[number].make_nonce().reveal()


def test_what_was_kept_is_nothing_without_the_key_that_lies_elsewhere(tmp_path: Path) -> None:
    held = filled(tmp_path, 3)
    copy = tmp_path / "copy"
    (tmp_path / "opened").rename(copy)
    held.destroy()
    copy.rename(tmp_path / "opened")
    assert custody.rounds(tmp_path) == (3,)
    assert held.keep().get(MANIFEST, 1, len(WORDS)) is None
