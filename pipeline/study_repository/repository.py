"""The study repository: every round that ended as files, one git commit and the tag `round-N`.

Its model, if it has one, in DVC.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.domain import RoundId, Sha256
from pipeline.errors import EvidenceRejected, Unavailable
from pipeline.evidence.canonical import sha256
from pipeline.host.files import locked, write_atomic, write_secret
from pipeline.site.identity import StoreCredentials
from pipeline.store import object_keys
from pipeline.study_repository.git import GitRepository

_SCRATCH = "recording."

_IGNORED = "# Models come from DVC; a reproduction stays on this machine.\n/models/*.safetensors\n/reproduction/\n"
_DVC_IGNORED = "/config.local\n/tmp\n/cache\n"
_DVC_CONFIG = f"""[core]
    remote = store
    analytics = false
    check_update = false
['remote "store"']
    url = s3://{object_keys.DVC}
"""


@dataclass(frozen=True)
class Remote:
    """The object store as DVC's remote; the credentials stay in a private file that git ignores."""

    endpoint: str
    credentials: StoreCredentials
    authority: Path | None = None
    """See `pipeline.host.trust`."""

    @property
    def access(self) -> Mapping[str, str]:
        """What DVC has to know of it."""
        trusted = {"ssl_verify": str(self.authority)} if self.authority else {}
        return {
            "endpointurl": self.endpoint,
            "access_key_id": self.credentials.access_key.text(),
            "secret_access_key": self.credentials.secret_key.text(),
            **trusted,
        }


@dataclass(frozen=True)
class EndedRound:
    """What is written down about a round.

    `seconds` is the time of the block that ended it, so that a rerun makes the same commit.
    """

    round: RoundId
    seconds: int
    message: str
    files: Mapping[str, bytes]
    """Path in the repository to content."""
    anchor: str
    """The one of these files that no later record of the round may contradict."""
    models: Mapping[Sha256, bytes]
    """The model that the round started from and the one that it made, if it did."""


@dataclass(frozen=True)
class Recorded:
    """Where a round stands in the study repository."""

    commit: str
    tag: str
    checked_out: bool
    """False when something else is checked out there or was edited: the round is recorded all the same."""


def commit_round(records: Path, ended: EndedRound, remote: Remote) -> Recorded:
    """Record a round once, whoever asks how often.

    Raises EvidenceRejected when another record has its tag, Unavailable.
    """
    with locked(records.with_name(f"{records.name}.lock")):
        git = GitRepository(records)
        _configure(records, remote)
        tag = f"round-{ended.round}"
        record = ended.anchor
        commit = git.tagged(tag)
        if commit is None:
            commit = _record(git, ended, remote, tag, record)
        elif git.file(commit, record) != ended.files[record]:
            raise EvidenceRejected(
                f"{records}: tag {tag} marks another record than the round's, want the one whose digest the chain holds"
            )
        return Recorded(commit, tag, checked_out=git.refresh())


def _record(git: GitRepository, ended: EndedRound, remote: Remote, tag: str, record: str) -> str:
    parent = git.tip()
    files = {
        ".gitignore": _IGNORED.encode(),
        ".dvc/.gitignore": _DVC_IGNORED.encode(),
        ".dvc/config": _DVC_CONFIG.encode(),
        **ended.files,
    }
    if git.file(parent, record) == ended.files[record]:
        # Killed between branch and tag.
        commit = git.introduced(record)
        git.publish(commit, commit, tag, ended.message, ended.seconds)
        return commit
    for digest, data in ended.models.items():
        if sha256(data) != digest:
            raise EvidenceRejected(
                f"model {digest}: got {len(data)} bytes with SHA-256 {sha256(data)}; nothing was recorded"
            )
    wanted = {digest: data for digest, data in ended.models.items() if git.file(parent, _pointer(digest)) is None}
    files |= _track(git.root, wanted, remote)
    commit = git.commit(files, parent, ended.message, ended.seconds)
    git.publish(commit, parent, tag, ended.message, ended.seconds)
    return commit


def _pointer(digest: Sha256) -> str:
    return f"models/{digest}.safetensors.dvc"


def _track(records: Path, models: Mapping[Sha256, bytes], remote: Remote) -> dict[str, bytes]:
    """Add models to DVC's cache and remote; their pointer files.

    The working tree may be on another round: a scratch one is used.
    """
    if not models:
        return {}
    # Over TLS botocore would send checksums behind the body, a form that the store's guard refuses.
    os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    from dvc.repo import Repo

    dvc = records / ".dvc"
    for left_over in (dvc / "tmp").glob(f"{_SCRATCH}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    (dvc / "tmp").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dvc / "tmp", prefix=_SCRATCH) as folder:
        scratch = Path(folder)
        write_atomic(scratch / ".dvc" / "config", b"[core]\n    no_scm = true\n")
        paths = [scratch / "models" / f"{digest}.safetensors" for digest in models]
        for path, data in zip(paths, models.values(), strict=True):
            write_atomic(path, data)
        access = {"url": f"s3://{object_keys.DVC}", **remote.access}
        # DVC keeps its index under /var/tmp by default.
        core = {"remote": "store", "site_cache_dir": str(dvc / "tmp" / "site")}
        settings = {"core": core, "remote": {"store": access}, "cache": {"dir": str(dvc / "cache")}}
        try:
            with Repo(str(scratch), config=settings) as repo:
                repo.add([str(path) for path in paths])
                repo.push(jobs=2)
        except Exception as error:  # DVC lets the many errors of its transports through
            raise Unavailable(
                f"{remote.endpoint}: DVC could not push the model ({type(error).__name__}); is the store up?"
            ) from error
        (records / "models").mkdir(exist_ok=True)
        pointers = {}
        for digest, path in zip(models, paths, strict=True):
            pointers[_pointer(digest)] = path.with_name(f"{path.name}.dvc").read_bytes()
            os.replace(path, records / "models" / path.name)
        return pointers


def _configure(records: Path, remote: Remote) -> None:
    """Give whoever works in the repository on this machine access to the remote."""
    lines = [f"    {name} = {value}\n" for name, value in remote.access.items()]
    access = "".join(["['remote \"store\"']\n", *lines]).encode()
    path = records / ".dvc" / "config.local"
    if not path.exists() or path.read_bytes() != access:
        write_secret(path, access)
