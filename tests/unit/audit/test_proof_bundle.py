"""A proof bundle comes from anybody: whatever its bytes, its reader gets its files or one sentence."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audit import proof_bundle
from pipeline.audit.proof_bundle import Bundle
from pipeline.errors import EvidenceRejected, WardroundError
from tests.adversary import attack

LEDGER = b'{"chain_id": 31337, "transactions": [' + b'"0123456789abcdef", ' * 40 + b"1]}"


def zipped(method: int, **more: bytes) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive:
        for name, content in ({"ledger.json": LEDGER} | more).items():
            archive.writestr(name, content)
    return written.getvalue()


def damaged(data: bytes, places: dict[int, int]) -> bytes:
    found = bytearray(data)
    for place, mask in places.items():
        found[place % len(found)] ^= mask
    return bytes(found)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_whole_bundle_is_read(method: int) -> None:
    assert Bundle(zipped(method)).json("ledger.json")["chain_id"] == 31337


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@attack(
    by="stranger",
    to="stop",
    tries="to reach another unpacker's flaws by a bundle of its compression",
    costs="nothing",
    seen="a refusal in a sentence",
)
def test_a_compression_that_we_do_not_write_is_refused_before_its_reader_runs(method: int) -> None:
    data = zipped(method)
    for candidate in (data, damaged(data, dict.fromkeys(range(45, 60), 0xFF))):
        with pytest.raises(EvidenceRejected, match=r"'ledger.json': got compression method .*, want deflate or none"):
            Bundle(candidate)


def test_damaged_deflate_is_named_as_a_damaged_file() -> None:
    with pytest.raises(EvidenceRejected, match=r"no whole zip file .*; ask for the bundle again"):
        Bundle(damaged(zipped(zipfile.ZIP_DEFLATED), dict.fromkeys(range(45, 60), 0xFF)))


@given(
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    st.dictionaries(st.integers(0, 10_000), st.integers(1, 255), min_size=1, max_size=6),
    st.integers(0, 40),
)
def test_whatever_is_damaged_nothing_leaves_but_our_errors(method: int, places: dict[int, int], cut: int) -> None:
    data = damaged(zipped(method), places)
    message = ""
    try:
        Bundle(data[: len(data) - cut]).json("ledger.json")
    except WardroundError as error:
        message = str(error)
    assert len(message) < 600


def test_the_limit_that_a_file_exceeds_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped(zipfile.ZIP_DEFLATED, large=bytes(2000))
    monkeypatch.setattr(proof_bundle, "_LARGEST_FILE", 1999)
    with pytest.raises(EvidenceRejected, match="'large': got a file of 2000 bytes, want at most 1999"):
        Bundle(data)
    monkeypatch.setattr(proof_bundle, "_LARGEST_FILE", 2000)
    monkeypatch.setattr(proof_bundle, "LARGEST_BUNDLE", 2500)
    with pytest.raises(EvidenceRejected, match=f"unpacks to {2000 + len(LEDGER)} bytes, want at most 2500"):
        Bundle(data)
