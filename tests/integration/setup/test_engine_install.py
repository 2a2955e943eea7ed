"""`wardround engine install mp-spdz`: from a publisher on this machine, served well or badly.

What fails leaves nothing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress
from typer.testing import CliRunner

from pipeline.cli import commands
from pipeline.domain import Sha256
from pipeline.errors import EngineFailed, EvidenceRejected, Misconfigured, Rejected, Unavailable, WardroundError
from pipeline.host import transfer
from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.setup import folders
from pipeline.setup.doctor import examine
from pipeline.setup.engine.install import Installed, install
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from tests.support import releases
from tests.support.installations import INSTALLATION, settings_in
from tests.support.releases import PARTIES, TOP, Publisher, archive, digest_of, hollow, official, plain, publisher


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation that goes by no MP-SPDZ, with a cache of its own."""
    made = replace(settings_in(tmp_path / "home"), cache=tmp_path / "cache", mp_spdz=tmp_path / "absent")
    INSTALLATION.save(made.installation)
    folders.write_down(made)
    return made


@pytest.fixture
def publishing(tmp_path: Path) -> Iterator[Publisher]:
    """A publisher of a release whose programs fail."""
    with publisher(hollow(tmp_path / releases.NAME)) as server:
        yield server


def installed(settings: Settings, **options: object) -> Installed:
    return install(settings, Progress(console=Console(file=io.StringIO())), **options)  # type: ignore[arg-type]


def leaves_nothing(settings: Settings, error: type[WardroundError], match: str, **options: object) -> None:
    before = settings.installation.read_bytes()
    with pytest.raises(error, match=match):
        installed(settings, **options)
    assert settings.installation.read_bytes() == before
    assert [path.name for path in settings.cache.rglob("*") if not path.name.endswith(".lock")] == ["engines"]


def test_a_file_that_breaks_off_twice_is_not_there(settings: Settings, publishing: Publisher) -> None:
    publishing.manner = "truncated"
    leaves_nothing(
        settings, Unavailable, r"could not fetch mp-spdz-0\.4\.2\.tar\.xz from 127\.0\.0\.1", release=publishing.release
    )
    assert publishing.asked == 2


def test_a_file_that_is_not_the_published_one_is_refused(settings: Settings, publishing: Publisher) -> None:
    publishing.manner = "wrong"
    leaves_nothing(
        settings,
        EvidenceRejected,
        "got other bytes than those with the published hash.*want sha256:",
        release=publishing.release,
    )


def test_a_publisher_that_falls_silent_is_given_up(
    settings: Settings, publishing: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "SILENT_SECONDS", 0.5)
    publishing.manner = "hanging"
    leaves_nothing(settings, Unavailable, "could not fetch .*try again", release=publishing.release)


def test_a_file_that_is_gone_is_said_with_the_server_s_word(settings: Settings, publishing: Publisher) -> None:
    publishing.manner = "missing"
    leaves_nothing(settings, Unavailable, "status 404", release=publishing.release)


@pytest.mark.parametrize("digest", [None, "md5:00", "sha256:xyz"])
def test_without_a_published_digest_nothing_is_fetched(
    settings: Settings, publishing: Publisher, digest: str | None
) -> None:
    publishing.digest = digest
    leaves_nothing(settings, EvidenceRejected, "name the one that you trust", release=publishing.release)
    assert publishing.asked == 0


def test_a_publisher_that_cannot_be_reached_is_said_with_the_other_ways(
    settings: Settings, publishing: Publisher
) -> None:
    gone = replace(publishing.release, page="http://127.0.0.1:9/page")
    leaves_nothing(settings, Unavailable, r"--sha256.*--from", release=gone)


def test_a_digest_that_somebody_trusts_counts_more_than_the_published_one(
    settings: Settings, publishing: Publisher
) -> None:
    leaves_nothing(
        settings, EvidenceRejected, f"sha256:{'0' * 64}", release=publishing.release, expected=Sha256("0" * 64)
    )


def test_a_file_of_one_s_own_is_held_to_the_digest_that_one_names(settings: Settings, publishing: Publisher) -> None:
    leaves_nothing(settings, EvidenceRejected, f"want {'0' * 64}", file=publishing.file, expected=Sha256("0" * 64))
    leaves_nothing(settings, Misconfigured, "No such file", file=publishing.file.with_name("none"))


def test_what_a_killed_installation_left_goes_with_the_next(settings: Settings, publishing: Publisher) -> None:
    left = settings.cache / "engines" / ".installing-killed"
    left.mkdir(parents=True)
    (left / releases.NAME).write_bytes(b"half")
    publishing.manner = "missing"
    leaves_nothing(settings, Unavailable, "status 404", release=publishing.release)


def test_a_release_whose_compiler_fails_is_not_installed(settings: Settings, publishing: Publisher) -> None:
    leaves_nothing(settings, EngineFailed, "did not compile", release=publishing.release)


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([plain(f"{TOP}/compile.py"), plain(f"{TOP}/README.md")], id="source code"),
        pytest.param([plain(f"{TOP}/bin/Linux-amd64/{name}") for name in PARTIES], id="no compiler"),
        pytest.param(
            [plain(f"{TOP}/compile.py"), *(plain(f"{TOP}/bin/Linux-armv8/{name}") for name in PARTIES)],
            id="another processor",
        ),
        pytest.param([plain(f"{TOP}/compile.py"), plain(f"{TOP}/bin/Linux-amd64/{PARTIES[0]}")], id="one protocol"),
    ],
)
def test_an_archive_without_the_programs_is_refused_with_the_one_to_take(
    settings: Settings, tmp_path: Path, members: list[object]
) -> None:
    made = archive(tmp_path / "other.tar.xz", *members)  # type: ignore[arg-type]
    leaves_nothing(settings, Rejected, "take the release's own archive, not the one called source code", file=made)


@pytest.mark.parametrize("wish", [None, "store_server: minio\n"])
def test_where_no_up_has_been_nothing_is_fetched(settings: Settings, publishing: Publisher, wish: str | None) -> None:
    settings.installation.unlink()
    if wish:
        settings.installation.write_text(wish)
    with pytest.raises(Misconfigured, match="run `wardround up` first"):
        installed(settings, release=publishing.release)
    assert publishing.asked == 0


def test_the_command_refuses_what_it_cannot_install_and_a_digest_that_is_none(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    for variable, text in settings.environment.items():
        monkeypatch.setenv(variable, text)
    said = CliRunner().invoke(commands, ["engine", "install", "spu"])
    assert isinstance(said.exception, Misconfigured)
    assert "want mp-spdz" in str(said.exception)
    said = CliRunner().invoke(commands, ["engine", "install", "mp-spdz", "--sha256", "abc"])
    assert "want 64 hexadecimal digits" in str(said.exception)


@dataclass(frozen=True)
class Real:
    """A publisher of the MP-SPDZ that is installed here."""

    server: Publisher
    folder: Path


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    folder = tmp_path_factory.mktemp("release")
    with publisher(official(folder / releases.NAME, Settings.load().mp_spdz)) as server:
        yield Real(server, folder)


@pytest.mark.mp_spdz
def test_a_release_is_installed_tried_and_found_by_workers_and_doctor(settings: Settings, real: Real) -> None:
    done = installed(settings, release=real.server.release)
    now = Settings.load(settings.home)
    assert now.mp_spdz == done.folder
    assert done.folder.is_relative_to(settings.cache)
    assert Installation.load(settings.installation).mp_spdz_release == done.digest == digest_of(real.server.file)
    assert MpSpdz(now).problems() == ()
    assert len({MpSpdz(now).digest(protocol) for protocol in NODES}) == 2
    assert {path.name for path in settings.cache.iterdir()} == {"engines"}, "the trial left programs behind"
    assert {path.name for path in done.folder.parent.iterdir()} == {
        done.folder.name,
        "mp-spdz.lock",
        ".installing.lock",
    }
    assert not (done.folder / "bin").exists()
    (found,) = [finding for finding in examine(now) if finding.what == "engine mp-spdz"]
    assert found.passed
    asked = real.server.asked
    assert installed(now, release=real.server.release) == done
    assert real.server.asked == asked, "fetched what was there"


@pytest.mark.mp_spdz
def test_a_file_of_one_s_own_is_installed_without_any_network(settings: Settings, real: Real) -> None:
    nowhere = replace(real.server.release, page="http://127.0.0.1:9/page", archive="http://127.0.0.1:9/a.tar.xz")
    assert installed(settings, file=real.server.file, release=nowhere).digest == digest_of(real.server.file)


@pytest.mark.mp_spdz
@pytest.mark.parametrize("broken", PARTIES)
def test_a_release_one_of_whose_parties_fails_is_not_installed(
    settings: Settings, real: Real, tmp_path: Path, broken: str
) -> None:
    changed: Mapping[str, bytes] = {broken: b"#!/bin/sh\nexit 3\n"}
    made = official(tmp_path / "broken.tar.xz", Settings.load().mp_spdz, changed)
    leaves_nothing(settings, EngineFailed, "mp-spdz: ", file=made)
