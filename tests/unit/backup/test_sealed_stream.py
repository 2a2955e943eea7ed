"""A stream under a passphrase: read as it was written, or not at all."""

from __future__ import annotations

import io

import pytest

from pipeline.backup import sealed_stream
from pipeline.backup.sealed_stream import OpeningReader, SealingWriter, refuse_short
from pipeline.errors import EvidenceRejected, Misconfigured
from pipeline.host.secret import Secret

PASSPHRASE = Secret(b"correct horse battery")
PIECE = (1 << 16) + 17
HEAD = 26 + 16 + 24


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cheapest key that Argon2id makes."""
    for name in ("OPSLIMIT", "MEMLIMIT"):
        least = getattr(sealed_stream.pwhash.argon2id, f"{name}_MIN")
        monkeypatch.setattr(sealed_stream.pwhash.argon2id, f"{name}_MODERATE", least)


def sealed(data: bytes) -> bytes:
    file = io.BytesIO()
    with SealingWriter(file, PASSPHRASE) as writer:
        for start in range(0, len(data), 50_000):
            writer.write(data[start : start + 50_000])
    return file.getvalue()


def opened(data: bytes, passphrase: Secret = PASSPHRASE) -> bytes:
    return OpeningReader(io.BytesIO(data), passphrase, "site.backup").readall()


@pytest.mark.parametrize("size", [0, 1, 1 << 16, (1 << 16) + 1, 3 << 16, 200_001])
def test_it_is_read_as_it_was_written(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    assert opened(sealed(data)) == data


def test_two_of_the_same_have_nothing_in_common_but_their_kind() -> None:
    one, other = sealed(b"secret" * 100), sealed(b"secret" * 100)
    assert one[:26] == other[:26]
    assert one[26:42] != other[26:42]
    assert b"secret" not in one


def test_another_passphrase_opens_nothing() -> None:
    with pytest.raises(EvidenceRejected, match=r"site\.backup: got another passphrase, or a damaged file"):
        opened(sealed(b"x" * 100), Secret(b"correct horse batterz"))


@pytest.mark.parametrize("length", [HEAD, HEAD + 5, HEAD + PIECE, HEAD + PIECE + 1, HEAD + 3 * PIECE, -1])
def test_a_file_that_was_cut_off_is_refused(length: int) -> None:
    with pytest.raises(EvidenceRejected, match="damaged"):
        opened(sealed(b"y" * (3 << 16) + b"z" * 900)[:length])


@pytest.mark.parametrize("place", [30, 50, HEAD, HEAD + PIECE + 7, -3])
def test_a_flipped_bit_anywhere_is_refused(place: int) -> None:
    data = bytearray(sealed(b"y" * 200_000))
    data[place] ^= 1
    with pytest.raises(EvidenceRejected, match="damaged"):
        opened(bytes(data))


def test_pieces_in_another_order_or_with_more_behind_them_are_refused() -> None:
    data = sealed(b"y" * 200_000)
    one, two = data[HEAD : HEAD + PIECE], data[HEAD + PIECE : HEAD + 2 * PIECE]
    with pytest.raises(EvidenceRejected, match="damaged"):
        opened(data[:HEAD] + two + one + data[HEAD + 2 * PIECE :])
    with pytest.raises(EvidenceRejected, match=r"damaged|bytes after its end"):
        opened(data + b"more")
    with pytest.raises(EvidenceRejected, match="bytes after its end"):
        opened(sealed(b"y" * (1 << 16)) + b"more")


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", b"wardround sealed stream 1\n", b"wardround sealed stream 2\n" * 9]
)
def test_another_kind_of_file_is_named_for_what_it_is(data: bytes) -> None:
    with pytest.raises(EvidenceRejected, match="another kind of file"):
        opened(data)


def test_a_short_passphrase_is_refused_and_not_repeated() -> None:
    refuse_short(PASSPHRASE)
    with pytest.raises(Misconfigured, match="got 11 characters, want at least 12") as refused:
        refuse_short(Secret(b"hunter2hunt"))
    assert "hunter" not in str(refused.value)
