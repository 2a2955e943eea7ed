"""A site in one file, sealed under a passphrase; and the site again from that file, on this machine or another one.

`pipeline.backup.keeping` says what of a site is in it. A site that runs is copied as it runs, then stopped for as long
as it takes to copy what changed meanwhile: all of the backup is of that one moment. A restoration writes a whole site
into an empty folder, or nothing.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import time
from typing import Any, BinaryIO, cast

import yaml

from pipeline.backup.copying import Copy
from pipeline.backup.keeping import is_kept
from pipeline.backup.sealed_stream import OpeningReader, SealingWriter, refuse_short
from pipeline.backup.stillness import still
from pipeline.chain import signed_files
from pipeline.errors import EvidenceRejected, Misconfigured, Refused
from pipeline.evidence.canonical import canonical_json, read_object
from pipeline.host.documents import read_fields
from pipeline.host.files import locked, replacing, scratch, write_atomic
from pipeline.host.secret import Secret
from pipeline.round import restored
from pipeline.services import services
from pipeline.site.settings import Settings
from pipeline.site.site import Site, SiteRole

_ABOUT = "backup.json"
_END = "backup-end.json"
"""The last entry; no file of a site has this name."""
_LARGEST_ABOUT = 1 << 16
_LARGEST_END = 1 << 26
_RESTORING = "restoring"
_FIELDS = {"role": str, "name": str, "home": str}
_END_FIELDS = {"made": int, "files": int, "gone": list}


@dataclass(frozen=True)
class Backup:
    """What a file says of itself, once it was opened."""

    site: Site
    home: Path
    """The site's folder as it then was."""
    made: int
    """Seconds since 1970."""
    files: int
    left_out: tuple[str, ...] = ()
    """Links to elsewhere, which a backup does not follow."""


def back_up(file: Path, passphrase: Secret, settings: Settings, now: Callable[[], float] = time) -> Backup:
    """Write the site's backup, whole or not at all.

    Raises Refused where there is no site, or where the file exists or lies in the site's own folder; Misconfigured for
    a short passphrase; Unavailable where a process of the site cannot be stopped.
    """
    refuse_short(passphrase)
    site = _site(settings)
    if file.exists():
        raise Refused(f"{file}: got a file that is there, want a new name: an older backup is not written over")
    if file.resolve().is_relative_to(settings.home):
        raise Refused(f"{file}: got a place in the site's own folder, want one that is not lost with it")
    with (
        locked(settings.up_lock),
        replacing(file, mode=0o600) as raw,
        SealingWriter(raw, passphrase) as sealing,
        tarfile.open(fileobj=cast("BinaryIO", sealing), mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        _add(archive, _ABOUT, {"role": site.role.value, "name": site.name, "home": str(settings.home)})
        copy = Copy(archive)
        copy.take(_entries(settings)[0])
        with still(services.supervisor(settings)):
            moment = int(now())
            entries, left_out = _entries(settings)
            gone = copy.settle(entries)
        _add(archive, _END, {"made": moment, "files": copy.files, "gone": gone})
    return Backup(site, settings.home, moment, copy.files, left_out)


def restore(file: Path, passphrase: Secret, settings: Settings) -> Backup:
    """Write the site of a backup into the installation's folder, which must be empty: all of it or nothing.

    The member takes no step in rounds that have begun, and its owner approves studies again. Raises Refused where
    anything lies in the folder, EvidenceRejected for another passphrase or a damaged file.
    """
    _refuse_occupied(settings)
    with scratch(settings.home, _RESTORING) as folder, file.open("rb") as raw:
        settings.home.chmod(0o700)
        reader = io.BufferedReader(cast("io.RawIOBase", OpeningReader(raw, passphrase, str(file))), 1 << 16)
        about = _extract(reader, folder, str(file))
        _settle(about, folder, settings)
        for path in sorted(folder.iterdir(), key=lambda path: path.name == settings.site.name):
            # The file that makes a site of it comes last.
            path.rename(settings.home / path.name)
    return about


def _site(settings: Settings) -> Site:
    site = Site.load(settings)
    if site is None:
        raise Refused(
            f"{settings.home}: got no site, want one that `wardround site init` made: an installation of all sites on"
            " one machine is a demonstration, and has no backup"
        )
    return site


def _refuse_occupied(settings: Settings) -> None:
    if not settings.home.exists():
        return
    there = [path.name for path in settings.home.iterdir() if not path.name.startswith(f".{_RESTORING}")]
    if there:
        site = Site.load(settings)
        whose = f"the site of {site.queue}" if site else f"a folder that holds {', '.join(sorted(there)[:3])}"
        raise Refused(
            f"{settings.home}: got {whose} there, want an empty folder: move it away, or set WARDROUND_HOME to another"
            " one"
        )


def _entries(settings: Settings) -> tuple[list[tuple[Path, str]], tuple[str, ...]]:
    """Files and folders with their names in the backup, folders first; and links that lead elsewhere."""
    taken: list[tuple[Path, str]] = []
    left_out: list[str] = []
    for path, name in _walk(settings.home, PurePosixPath()):
        if path.is_symlink() and not path.resolve().is_relative_to(settings.home):
            left_out.append(str(name))
        elif path.is_symlink() or path.is_dir() or path.is_file():
            taken.append((path, str(name)))
    if not settings.studies.is_relative_to(settings.home) and settings.studies.is_dir():
        taken.append((settings.studies, "studies"))
        files = sorted((*settings.studies.glob("*.yaml"), *settings.studies.glob("*.onnx")))
        taken += [(path, f"studies/{path.name}") for path in files]
    return taken, tuple(left_out)


def _walk(folder: Path, name: PurePosixPath) -> Iterator[tuple[Path, PurePosixPath]]:
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return  # gone since it was listed
    for path in paths:
        inner = name / path.name
        if is_kept(inner):
            yield path, inner
            if path.is_dir() and not path.is_symlink():
                yield from _walk(path, inner)


def _add(archive: tarfile.TarFile, name: str, content: Mapping[str, Any]) -> None:
    data = canonical_json(content)
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def _extract(reader: BinaryIO, folder: Path, what: str) -> Backup:
    """Unpack all of it; raises EvidenceRejected unless the file is whole."""
    about: tuple[Site, Path] | None = None
    end: Mapping[str, Any] | None = None
    names: set[str] = set()
    try:
        with tarfile.open(fileobj=reader, mode="r|") as archive:
            for member in archive:
                if about is None:
                    about = _about(archive, member, what)
                elif member.name == _END:
                    end = _read(archive, member, _LARGEST_END, _END_FIELDS, what)
                else:
                    if member.name in names:
                        # It changed while the backup was made: the later one counts.
                        _remove(folder / member.name, member)
                    archive.extract(member, folder, filter=_as_it_was)
                    names.add(member.name)
        while reader.read(1 << 16):
            pass  # to its end, which says that it is whole
    except tarfile.TarError as error:
        raise _not_a_site(what, type(error).__name__) from error
    if about is None or end is None:
        raise _not_a_site(what, "no word of what it is" if about is None else "no end")
    for name in sorted(names & set(end["gone"]), reverse=True):
        _remove(folder / name)
    count = sum(path.is_file() and not path.is_symlink() for path in folder.rglob("*"))
    if count != end["files"]:
        raise _not_a_site(what, f"{count} files")
    return Backup(*about, end["made"], count)


def _remove(path: Path, member: tarfile.TarInfo | None = None) -> None:
    """Make room for `member`, or for nothing."""
    if path.is_dir() and not path.is_symlink():
        if member is None or not member.isdir():
            shutil.rmtree(path)
    else:
        # What stood in a folder is gone with it where a file has taken its place.
        with suppress(NotADirectoryError):
            path.unlink(missing_ok=True)


def _about(archive: tarfile.TarFile, member: tarfile.TarInfo, what: str) -> tuple[Site, Path]:
    if member.name != _ABOUT:
        raise _not_a_site(what, "no word of what it is")
    content = _read(archive, member, _LARGEST_ABOUT, _FIELDS, what)
    try:
        return Site.named(SiteRole(content["role"]), content["name"]), Path(content["home"])
    except (ValueError, Misconfigured) as error:
        raise _not_a_site(what, "no site's name") from error


def _read(
    archive: tarfile.TarFile, member: tarfile.TarInfo, largest: int, fields: Mapping[str, type], what: str
) -> Mapping[str, Any]:
    file = archive.extractfile(member) if member.isfile() else None
    if file is None or member.size > largest:
        raise _not_a_site(what, f"no {member.name} that can be read")
    content = read_object(file.read(), largest)
    if set(content) != set(fields) or any(type(content[name]) is not kind for name, kind in fields.items()):
        raise _not_a_site(what, f"fields {', '.join(sorted(content))}")
    return content


def _not_a_site(what: str, got: str) -> EvidenceRejected:
    return EvidenceRejected(
        f"{what}: got {got}, want a site's backup as this version writes it; nothing of it was taken"
    )


def _as_it_was(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    # Python's filter refuses what would lie or lead outside, and leaves a folder's rights to the umask.
    checked = tarfile.data_filter(member, path)
    return checked.replace(mode=member.mode & 0o755, deep=False) if member.isdir() else checked


def _settle(about: Backup, folder: Path, settings: Settings) -> None:
    """What another folder, and the time since the backup, change."""
    here = Settings(folder, settings.data, settings.cache, settings.mp_spdz, folder / "studies")
    private = about.site.folder(here)
    if about.site.role in (SiteRole.HOSPITAL, SiteRole.NODE):
        restored.mark(private)
    signed_files.mark_restored(private / "outbox")
    if here.installation.exists():
        _point_here(here.installation, about.home, settings.home, studies=here.studies.exists())


def _point_here(file: Path, before: Path, now: Path, *, studies: bool) -> None:
    """Let folders that lay in the site's folder lie in the new one, and those of studies always."""
    content = read_fields(file.read_bytes(), file.name)
    folders = content.get("folders") or {}
    for name, text in folders.items():
        if isinstance(text, str) and Path(text).is_relative_to(before):
            folders[name] = str(now / Path(text).relative_to(before))
    if studies and (folders or "folders" in content):
        folders["studies"] = str(now / "studies")
    if folders:
        write_atomic(file, yaml.safe_dump(content | {"folders": folders}, sort_keys=False).encode())
