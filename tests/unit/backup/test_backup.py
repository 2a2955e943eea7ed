"""A site's backup: what is in it, what never is, and what a restoration refuses."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

import pytest
import yaml
from typer.testing import CliRunner, Result

from pipeline.backup import sealed_stream
from pipeline.backup.backup import back_up, restore
from pipeline.backup.keeping import PARTS, is_kept, part_of
from pipeline.cli import commands
from pipeline.errors import EvidenceRejected, Misconfigured, Refused, WardroundError
from pipeline.host.files import write_secret
from pipeline.host.secret import Secret
from pipeline.joining.join import examine, join
from pipeline.round import restored
from pipeline.site.settings import HOME, Settings
from pipeline.site.site import PROVIDER, Site, SiteRole
from tests.support.sites import AUDITOR, NORTH, WREN, Apart

PASSPHRASE = Secret(b"correct horse battery")
PROVIDERS = Site(role=SiteRole.PROVIDER, name=PROVIDER)


pytestmark = pytest.mark.usefixtures("cheap_passphrases")


@pytest.fixture
def apart(tmp_path_factory: pytest.TempPathFactory) -> Apart:
    """Sites of which three have joined, in a folder whose name leaves room for a socket's."""
    made = Apart.made(tmp_path_factory.mktemp("a") / "1")
    invitations = made.invite_all()
    for site in (WREN, NORTH, AUDITOR):
        settings = made.settings(site.queue)
        join(examine(invitations[site.queue], site.queue, settings), settings)
    return made


def elsewhere(apart: Apart, site: Site) -> Settings:
    return Apart(apart.place.parent / "2").settings(site.queue)


def contents(settings: Settings) -> dict[str, tuple[int, bytes]]:
    files = (path for path in settings.home.rglob("*") if path.is_file())
    return {str(path.relative_to(settings.home)): (path.stat().st_mode & 0o777, path.read_bytes()) for path in files}


@pytest.mark.parametrize("site", [WREN, NORTH, AUDITOR, PROVIDERS], ids=lambda site: site.queue)
def test_a_site_comes_back_elsewhere_with_all_its_keys_and_rights(apart: Apart, site: Site, tmp_path: Path) -> None:
    before = apart.settings(site.queue)
    written = contents(before)
    made = back_up(tmp_path / "file", PASSPHRASE, before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    shutil.rmtree(before.home)
    after = elsewhere(apart, site)
    again = restore(tmp_path / "file", PASSPHRASE, after)
    assert (again.site, again.made, again.files) == (site, made.made, made.files)
    kept = {name for name in written if is_kept(PurePosixPath(name))}
    now = contents(after)
    changed = {name for name in kept if now[name] != written[name]}
    assert changed <= {"installation.yaml"}
    assert now.keys() - kept <= {f"{site.folder(after).relative_to(after.home)}/restored.json", ".restoring.lock"}
    assert {path.stat().st_mode & 0o077 for path in site.folder(after).iterdir()} == {0}
    assert after.home.stat().st_mode & 0o777 == 0o700
    assert Settings.load(after.home).studies == (after.studies if site != PROVIDERS else Settings.load().studies)
    assert restored.waits(site.folder(after)) is (site in (WREN, NORTH))


def test_nothing_of_a_secret_stands_in_the_file(apart: Apart, tmp_path: Path) -> None:
    for site in (WREN, NORTH, PROVIDERS):
        settings = apart.settings(site.queue)
        back_up(tmp_path / site.queue, PASSPHRASE, settings)
        data = (tmp_path / site.queue).read_bytes()
        secrets = [
            content for name, (mode, content) in contents(settings).items() if mode == 0o600 and len(content) > 15
        ]
        assert secrets
        assert not any(secret in data for secret in secrets)
        assert site.name.encode() not in data


LOST = {
    "nodes/north": (
        "sealing/7",
        "sealing/7-keep",
        "opened/7/ab-0",
        "journal/total-7.i8",
        "approvals/ab.json",
        "work/x",
    ),
    "hospitals/wren": ("rounds/7/update.i8", "approvals/ab.json", "docs/a.html", "logs/x"),
}
KEPT = {
    "nodes/north": ("journal/vote-7.json", "decisions/heart/1.json", "outbox/1-0xab/0.a.tx.json", "tls/key.pem"),
    "hospitals/wren": ("data/records/heart/rounds/work.csv", "data/.dvc/config", "hospital.yaml", "former-keys/0xab"),
}


@pytest.mark.parametrize("site", [NORTH, WREN], ids=lambda site: site.queue)
def test_keys_of_running_rounds_and_consents_in_force_never_come_back(apart: Apart, site: Site, tmp_path: Path) -> None:
    before = apart.settings(site.queue)
    private = str(site.folder(before).relative_to(before.home))
    for name in (*LOST[private], *KEPT[private]):
        write_secret(site.folder(before) / name, name.encode())
    write_secret(before.home / "logs" / "worker.log", b"")
    back_up(tmp_path / "file", PASSPHRASE, before)
    restore(tmp_path / "file", PASSPHRASE, elsewhere(apart, site))
    now = contents(elsewhere(apart, site))
    assert {f"{private}/{name}" for name in KEPT[private]} <= now.keys()
    assert not {f"{private}/{name}" for name in LOST[private]} & now.keys()
    assert "logs/worker.log" not in now


def test_names_of_the_table_mean_nothing_within_store_database_and_records() -> None:
    for name in (
        "minio/reports/rounds/1",
        "versitygw/objects/logs",
        "postgres/base/1",
        "records/heart/docs/x",
        "chain/work",
    ):
        assert is_kept(PurePosixPath(name)), name
    assert not is_kept(PurePosixPath("postgres/postmaster.pid"))
    assert is_kept(PurePosixPath("something/new"))
    assert part_of(PurePosixPath("something/new")) is None


def test_every_file_of_a_site_has_its_row(apart: Apart) -> None:
    for site in (WREN, NORTH, AUDITOR, PROVIDERS):
        for name in contents(apart.settings(site.queue)):
            part = part_of(PurePosixPath(name))
            assert part is not None, name
            assert site.role in part.roles, name
    assert [part.kept for part in PARTS] == sorted((part.kept for part in PARTS), reverse=True)


def test_another_passphrase_and_a_damaged_file_leave_nothing_behind(apart: Apart, tmp_path: Path) -> None:
    file = tmp_path / "file"
    back_up(file, PASSPHRASE, apart.settings(WREN.queue))
    after = elsewhere(apart, WREN)
    whole = file.read_bytes()
    with pytest.raises(EvidenceRejected, match="another passphrase"):
        restore(file, Secret(b"another passphrase"), after)
    for damaged in (whole[:-1], whole[: len(whole) // 2], whole[:-20] + bytes(20), whole + b"x", b"", b"\x00" * 4096):
        file.write_bytes(damaged)
        with pytest.raises(EvidenceRejected, match=r"file: got"):
            restore(file, PASSPHRASE, after)
        assert contents(after).keys() <= {".restoring.lock"}
    file.write_bytes(whole)
    restore(file, PASSPHRASE, after)


def test_a_stream_that_is_no_site_is_refused(apart: Apart, tmp_path: Path) -> None:
    for content in (b"", b"no archive", bytes(10_240)):
        with (tmp_path / "file").open("wb") as raw, sealed_stream.SealingWriter(raw, PASSPHRASE) as writer:
            writer.write(content)
        with pytest.raises(EvidenceRejected, match="want a site's backup"):
            restore(tmp_path / "file", PASSPHRASE, elsewhere(apart, WREN))


def test_a_folder_with_anything_in_it_is_not_written_over(apart: Apart, tmp_path: Path) -> None:
    back_up(tmp_path / "file", PASSPHRASE, apart.settings(WREN.queue))
    written = contents(apart.settings(NORTH.queue))
    with pytest.raises(Refused, match="got the site of node-north there, want an empty folder"):
        restore(tmp_path / "file", PASSPHRASE, apart.settings(NORTH.queue))
    assert contents(apart.settings(NORTH.queue)) == written
    after = elsewhere(apart, WREN)
    write_secret(after.home / "letter", b"")
    with pytest.raises(Refused, match="got a folder that holds letter there"):
        restore(tmp_path / "file", PASSPHRASE, after)


def test_what_is_no_site_or_would_be_written_over_or_lie_in_itself_is_refused(apart: Apart, tmp_path: Path) -> None:
    settings = apart.settings(WREN.queue)
    with pytest.raises(Misconfigured, match="want at least 12"):
        back_up(tmp_path / "file", Secret(b"short"), settings)
    with pytest.raises(Refused, match="in the site's own folder"):
        back_up(settings.home / "file", PASSPHRASE, settings)
    (tmp_path / "file").write_text("older")
    with pytest.raises(Refused, match="an older backup is not written over"):
        back_up(tmp_path / "file", PASSPHRASE, settings)
    assert (tmp_path / "file").read_text() == "older"
    settings.site.unlink()
    with pytest.raises(Refused, match="got no site"):
        back_up(tmp_path / "another", PASSPHRASE, settings)


def test_a_link_to_elsewhere_is_named_and_left_out(apart: Apart, tmp_path: Path) -> None:
    settings = apart.settings(WREN.queue)
    records = settings.hospital("wren") / "data" / "records"
    records.mkdir(parents=True)
    (tmp_path / "disk").mkdir()
    (records / "pictures").symlink_to(tmp_path / "disk")
    (records / "again").symlink_to("table.csv")
    (records / "table.csv").write_text("1")
    os.link(records / "table.csv", records / "twice.csv")
    made = back_up(tmp_path / "file", PASSPHRASE, settings)
    assert made.left_out == ("hospitals/wren/data/records/pictures",)
    after = elsewhere(apart, WREN)
    restore(tmp_path / "file", PASSPHRASE, after)
    came = after.hospital("wren") / "data" / "records"
    assert {path.name: path.read_text() for path in came.iterdir()} == dict.fromkeys(
        ("table.csv", "again", "twice.csv"), "1"
    )


def test_studies_that_lie_elsewhere_come_into_the_site_s_folder(apart: Apart, tmp_path: Path) -> None:
    usual = apart.provider
    moved = tmp_path / "study-files"
    usual.studies.rename(moved)
    (moved / "notes.txt").write_text("not a study")
    (moved / "public.onnx").write_bytes(b"a backbone that is not in the store yet")
    settings = Settings(usual.home, usual.data, usual.cache, usual.mp_spdz, moved)
    content = yaml.safe_load(settings.installation.read_text()) | {"folders": {"studies": str(moved)}}
    settings.installation.write_text(yaml.safe_dump(content))
    back_up(tmp_path / "file", PASSPHRASE, settings)
    after = elsewhere(apart, PROVIDERS)
    restore(tmp_path / "file", PASSPHRASE, after)
    assert Settings.load(after.home).studies == after.studies
    assert sorted(path.name for path in after.studies.iterdir()) == ["breast_cancer.yaml", "public.onnx"]


def said(settings: Settings, *words: str) -> Result:
    return CliRunner().invoke(commands, list(words), env={HOME: str(settings.home), "COLUMNS": "200"})


def test_two_commands_carry_a_site_to_another_machine_and_print_no_secret(apart: Apart, tmp_path: Path) -> None:
    write_secret(tmp_path / "passphrase", PASSPHRASE.reveal() + b"\nsecond line")
    given = (str(tmp_path / "file"), "--passphrase-file", str(tmp_path / "passphrase"))
    done = said(apart.settings(WREN.queue), "backup", *given)
    assert done.exit_code == 0, done.output
    assert "hospital-wren, " in done.output
    after = elsewhere(apart, WREN)
    again = said(after, "restore", *given)
    assert again.exit_code == 0, again.output
    assert "next: `wardround up`" in again.output
    assert "once its owner has approved its studies again" in again.output
    assert PASSPHRASE.text() not in done.output + again.output
    (tmp_path / "passphrase").chmod(0o644)
    assert "want 600" in str(said(after, "restore", *given).exception)


def test_without_a_terminal_no_passphrase_is_asked_for(apart: Apart, tmp_path: Path) -> None:
    done = said(apart.settings(WREN.queue), "backup", str(tmp_path / "file"))
    assert isinstance(done.exception, WardroundError)
    assert "want --passphrase-file PATH" in str(done.exception)
