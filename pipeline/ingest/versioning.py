"""Versions of a hospital's records.

A git and DVC repository of its own, with a local cache and no remote unless the hospital adds one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.datasets.records import records_folder, shielded
from pipeline.host.documents import read_yaml
from pipeline.host.files import locked, write_atomic

if TYPE_CHECKING:
    from dvc.repo import Repo

_DVC_IGNORED = b"/config.local\n/tmp\n/cache\n"
_DVC_CONFIG = b"[core]\n    analytics = false\n    check_update = false\n"


def version(home: Path, dataset: str) -> str:
    """DVC's digest of a hospital's records of one data set.

    A change since the last call becomes a new version with its git commit.

    Raises DataRejected when the records are missing or DVC cannot read them.
    """
    return shielded(home.name, f"data/records/{dataset} has a DVC version", lambda: _version(home, dataset))


def _version(home: Path, dataset: str) -> str:
    records = records_folder(home, dataset)
    if not any(records.iterdir()):
        raise FileNotFoundError
    with locked(home / ".data.lock"), _repository(home / "data", home.name) as repository:
        pointer = records.with_name(f"{dataset}.dvc")
        if not pointer.exists() or repository.status(targets=[str(pointer)]):
            repository.add(str(records))
            _commit(repository, [pointer, pointer.with_name(".gitignore")], f"Record a version of {dataset}")
        return str(read_yaml(pointer.read_bytes(), pointer.name)["outs"][0]["md5"])


@contextmanager
def _repository(data: Path, hospital: str) -> Iterator[Repo]:
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(
        logging.ERROR
    )  # its advice names git commands and paths, nobody reads it in a task
    if not (data / ".dvc" / "config").exists():
        _initialise(data, hospital)
    with closing(Repo(str(data), config=_config(data))) as repository:
        yield repository


def _initialise(data: Path, hospital: str) -> None:
    from dulwich.repo import Repo as GitRepository
    from dvc.repo import Repo

    with closing(GitRepository(str(data)) if (data / ".git").exists() else GitRepository.init(str(data))) as git:
        identity = git.get_config()
        identity.set((b"user",), b"name", hospital.encode())
        identity.set((b"user",), b"email", f"{hospital}@wardround.invalid".encode())
        identity.write_to_path()
    # What DVC would begin it with; its own beginning takes no settings, and wants to write under /var/tmp.
    begun = {
        data / ".dvcignore": b"",
        data / ".dvc" / ".gitignore": _DVC_IGNORED,
        data / ".dvc" / "config": _DVC_CONFIG,
    }
    for path, text in begun.items():
        write_atomic(path, text)
    with closing(Repo(str(data), config=_config(data))) as repository:
        _commit(repository, begun, "Begin the history of the records")


def _config(data: Path) -> dict[str, Any]:
    # DVC keeps its index of paths under /var/tmp by default; what concerns a hospital's records stays with the
    # hospital.
    return {"core": {"site_cache_dir": str(data / ".dvc" / "tmp" / "site")}}


def _commit(repository: Repo, paths: Iterable[Path], message: str) -> None:
    repository.scm.add([str(path) for path in paths if path.exists()])
    repository.scm.commit(message)
