"""What the nodes compare before they compute, and the record holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import EngineFailed
from pipeline.mpc.engines.mp_spdz.programs import installed_digest

FILES = ["compile.py", "Compiler/types.py", "Compiler/GC/types.py", "replicated-ring-party.x", "libSPDZ.so"]


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    for name in [*FILES, "rep4-ring-party.x"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_one_other_byte_of_compiler_party_or_library_is_another_digest(installation: Path, name: str) -> None:
    before = installed_digest(installation, "replicated-ring")
    (installation / "Player-Data").mkdir()
    assert installed_digest(installation, "replicated-ring") == before
    (installation / name).write_bytes(b"other")
    assert installed_digest(installation, "replicated-ring") != before


def test_each_protocol_has_its_own_party(installation: Path) -> None:
    assert installed_digest(installation, "replicated-ring") != installed_digest(installation, "rep4-ring")


def test_a_missing_party_is_named(installation: Path) -> None:
    (installation / "rep4-ring-party.x").unlink()
    with pytest.raises(EngineFailed, match=r"rep4-ring-party\.x.*doctor"):
        installed_digest(installation, "rep4-ring")
