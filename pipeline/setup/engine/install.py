"""`wardround engine install mp-spdz`.

The official release into the user's cache, tried before anybody is told of it.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from pipeline.domain import Sha256
from pipeline.errors import EvidenceRejected, Misconfigured, Rejected, Unavailable
from pipeline.evidence.canonical import read_object
from pipeline.host.files import locked, scratch
from pipeline.host.transfer import CONNECT_SECONDS, SILENT_SECONDS, fetch
from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.setup import folders
from pipeline.setup.engine import trial
from pipeline.setup.engine.unpacking import unpack
from pipeline.setup.progress import step
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings

if TYPE_CHECKING:
    from rich.progress import Progress

_DOWNLOAD_SECONDS = 1800.0
_MOST_BYTES = 8 << 30
"""Of a release unpacked; it has the parties of some sixty protocols for each kind of processor."""
_PARTIES = frozenset(f"{protocol}-party.x" for protocol in NODES)


@dataclass(frozen=True)
class EngineRelease:
    """One that its publisher describes."""

    page: str
    """Where its description is read, as GitHub's API gives it: of each file its name and `digest`."""
    archive: str
    """The file with programs for Linux; the one called source code has none."""

    @property
    def name(self) -> str:
        """The archive's name."""
        return self.archive.rpartition("/")[2]


OFFICIAL = EngineRelease(
    page="https://api.github.com/repos/data61/MP-SPDZ/releases/tags/v0.4.2",
    archive="https://github.com/data61/MP-SPDZ/releases/download/v0.4.2/mp-spdz-0.4.2.tar.xz",
)


@dataclass(frozen=True)
class Installed:
    """What was put where."""

    folder: Path
    digest: Sha256
    """Of the archive."""


def install(
    settings: Settings,
    progress: Progress,
    *,
    expected: Sha256 | None = None,
    file: Path | None = None,
    release: EngineRelease = OFFICIAL,
) -> Installed:
    """Install MP-SPDZ from `file`, else from the release's page.

    The archive must have the `expected` digest, else the one that the page names; a file without an expected digest is
    taken as it is. Raises Unavailable, Rejected, EngineFailed or Misconfigured, and then leaves nothing behind and the
    installation as it was.
    """
    if not Installation.is_made(settings.installation):
        raise Misconfigured(
            f"{settings.home}: got no installation that could go by an engine; run `wardround up` first"
        )
    kinds = _kinds()
    engines = settings.cache / "engines"
    engines.mkdir(parents=True, exist_ok=True)
    with locked(engines / "mp-spdz.lock"):
        if file is None:
            expected = expected or published_digest(release)
        with scratch(engines, "installing") as aside:
            if file is None and expected is not None and (installed := _folder(engines, expected)).exists():
                digest = expected
                folder = installed
                _try(settings, folder, aside)
            else:
                with _archive(aside, progress, expected, file, release) as (archive, digest), step("unpack"):
                    made = _arranged(
                        unpack(archive, aside / "release", lambda path: _keep(path, kinds), _MOST_BYTES), kinds
                    )
                _try(settings, made, aside)
                folder = _folder(engines, digest)
                if folder.exists():
                    folder.replace(aside / "before")
                made.replace(folder)
    with locked(settings.up_lock):
        folders.write_down(replace(settings, mp_spdz=folder), digest)
    return Installed(folder, digest)


def published_digest(release: EngineRelease) -> Sha256:
    """SHA-256 of the archive as the release's page says; raises Unavailable or EvidenceRejected."""
    import httpx

    try:
        answer = httpx.get(
            release.page, timeout=httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS), follow_redirects=True
        )
        answer.raise_for_status()
    except httpx.HTTPError as error:
        got = f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        raise Unavailable(
            f"{release.page}: got {got}, want the digests of the release; "
            "try again, or name the digest that you trust (--sha256) or a file (--from)"
        ) from error
    files = read_object(answer.content).get("assets")
    for one in files if isinstance(files, list) else ():
        ours = isinstance(one, dict) and one.get("name") == release.name
        if ours and (match := re.fullmatch(r"sha256:([0-9a-f]{64})", str(one.get("digest")))):
            return Sha256(match[1])
    raise EvidenceRejected(f"{release.page}: got no SHA-256 of {release.name}; name the one that you trust (--sha256)")


@contextmanager
def _archive(
    aside: Path, progress: Progress, expected: Sha256 | None, file: Path | None, release: EngineRelease
) -> Iterator[tuple[IO[bytes], Sha256]]:
    """The open archive and its digest; the bytes that were hashed are those that are unpacked."""
    if file is None:
        address = release.archive.removesuffix(release.name)
        wanted = f"sha256:{expected}"
        try:
            with progress:
                fetch(address, {release.name: wanted}, aside, _DOWNLOAD_SECONDS, progress)
        except (Unavailable, EvidenceRejected) as error:
            raise type(error)(
                f"could not fetch {error}; want {wanted}; try again, or name a file that you have (--from)"
            ) from error
        file = aside / release.name
    try:
        archive = file.open("rb")
    except OSError as error:
        raise Misconfigured(f"{file}: {error.strerror}; want the file {release.name} of the release") from error
    with archive:
        digest = Sha256(hashlib.file_digest(archive, "sha256").hexdigest())
        if expected not in (None, digest):
            raise EvidenceRejected(f"{file}: got a file with SHA-256 {digest}, want {expected}; do not use it")
        archive.seek(0)
        yield archive, digest


def _kinds() -> tuple[str, ...]:
    """Folders of the release with programs that this processor runs, the fastest first.

    Raises Misconfigured when there are none.
    """
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        raise Misconfigured(
            f"got {sys.platform} on {platform.machine()}, want Linux on x86_64, for which alone the release has"
            " programs; build MP-SPDZ from its source and run `wardround up` with MP_SPDZ_HOME naming its folder"
        )
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return ("Linux-adx", "Linux-amd64") if flags and "adx" in flags[1].split() else ("Linux-amd64",)


def _keep(path: PurePosixPath, kinds: tuple[str, ...]) -> bool:
    """Whether a path of the release is needed: of its programs those of our protocols that this processor runs."""
    folder, *rest = path.parts
    return folder != "bin" or not rest or (rest[0] in kinds and (len(rest) == 1 or rest[1] in _PARTIES))


def _arranged(folder: Path, kinds: tuple[str, ...]) -> Path:
    """The release with the programs where the engine looks for them; raises Rejected when it lacks them."""
    offered = [folder / "bin" / kind for kind in kinds]
    programs = next(
        (directory for directory in offered if all((directory / name).is_file() for name in _PARTIES)), None
    )
    if programs is None or not (folder / "compile.py").is_file():
        raise Rejected(
            f"the archive: got no {' and '.join(sorted(_PARTIES))} in bin/{' or bin/'.join(kinds)} beside compile.py; "
            "take the release's own archive, not the one called source code"
        )
    for name in _PARTIES:
        (programs / name).replace(folder / name)
        (folder / name).chmod(0o755)
    shutil.rmtree(folder / "bin")
    return folder


def _folder(engines: Path, digest: Sha256) -> Path:
    return engines / f"mp-spdz-{digest[:16]}"


def _try(settings: Settings, folder: Path, aside: Path) -> None:
    """Raises EngineFailed unless both protocols of the engine in `folder` do as the reference does."""
    # Programs for it are compiled into the folder aside: a release that fails leaves none.
    engine = MpSpdz(replace(settings, mp_spdz=folder, cache=aside / "cache"))
    if problems := engine.problems():
        raise Misconfigured("; ".join(problems))
    for protocol, nodes in NODES.items():
        with step(f"a verification under {protocol}, compared with the reference"):
            trial.check(engine, protocol, nodes)
