from __future__ import annotations

import lzma
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from pipeline.errors import Rejected
from pipeline.setup.engine.unpacking import unpack
from tests.adversary import attack
from tests.support.releases import archive, plain

HOSTILE = {
    "a path upwards": [plain("top/../../outside")],
    "a link to the outside": [plain("top/link", type=tarfile.SYMTYPE, linkname="../../outside")],
    "a link to an absolute path": [plain("top/link", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
    "a hard link to the outside": [plain("top/link", type=tarfile.LNKTYPE, linkname="../outside")],
    "a hard link to nothing": [plain("top/link", type=tarfile.LNKTYPE, linkname="top/none")],
    "a file through a link": [
        plain("top/link", type=tarfile.SYMTYPE, linkname=".."),
        plain("top/link/../../outside", b"written"),
    ],
    "a device": [plain("top/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "a pipe": [plain("top/pipe", type=tarfile.FIFOTYPE)],
    "a second folder": [plain("top/file", b"x"), plain("other/file", b"x")],
    "no folder": [plain("file", b"x")],
    "nothing": [],
    "more than it may hold": [plain("top/large", bytes(1 << 20))],
}


def opened(file: Path, folder: Path, keep: str = "") -> Path:
    with file.open("rb") as content:
        return unpack(content, folder, lambda path: str(path).startswith(keep), most=1 << 20)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_what_is_kept_of_an_archive_lies_in_its_top_folder(tmp_path: Path) -> None:
    made = archive(
        tmp_path / "a.tar.xz",
        plain("top/keep/one", b"1"),
        plain("top/keep/two", type=tarfile.SYMTYPE, linkname="one"),
        plain("top/other", b"2"),
    )
    top = opened(made, tmp_path / "out", keep="keep")
    assert top == tmp_path / "out" / "top"
    assert files(top) == {"keep/one", "keep/two"}
    assert (top / "keep" / "two").read_bytes() == b"1"


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("keep", ["", "nothing of it"])
@attack(
    by="stranger",
    to="change",
    tries="to write files by an archive of an engine or data set",
    costs="nothing",
    seen="the archive, refused",
)
def test_a_hostile_archive_is_refused_and_nothing_lands_outside(
    members: list[tuple[tarfile.TarInfo, bytes]], keep: str, tmp_path: Path
) -> None:
    made = archive(tmp_path / "a.tar.xz", *members)
    with pytest.raises(Rejected, match=r"^the archive: "):
        opened(made, tmp_path / "out", keep)
    assert {path.partition("/")[0] for path in files(tmp_path)} <= {"a.tar.xz", "out"}


@pytest.mark.parametrize("cut", [0, 10, -20])
def test_a_truncated_archive_is_refused(cut: int, tmp_path: Path) -> None:
    made = archive(tmp_path / "a.tar.xz", plain("top/file", bytes(range(256)) * 100))
    made.write_bytes(made.read_bytes()[:cut])
    with pytest.raises(Rejected, match=r"^the archive: "):
        opened(made, tmp_path / "out")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>")
    with pytest.raises(Rejected, match="damaged, or not what it says"):
        opened(tmp_path / "page.html", tmp_path / "one")
    (tmp_path / "text.xz").write_bytes(lzma.compress(b"text" * 1000))
    with pytest.raises(Rejected, match="damaged, or not what it says"):
        opened(tmp_path / "text.xz", tmp_path / "two")


def test_a_path_within_may_be_kept_or_not(tmp_path: Path) -> None:
    made = archive(tmp_path / "a.tar.xz", plain("top/bin/one", b"1"))
    asked: list[PurePosixPath] = []
    with made.open("rb") as content:
        unpack(content, tmp_path / "out", lambda path: bool(asked.append(path)) or True, most=1 << 20)
    assert asked == [PurePosixPath("bin/one")]
