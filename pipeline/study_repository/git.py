"""Git plumbing of the study repository.

Commits are made beside whatever is checked out, and refs move whole or not at all.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import Misconfigured, Unavailable

BRANCH = "refs/heads/main"
_STALE_SECONDS = 10
_TIMEOUT_SECONDS = 60


class GitRepository:
    """One repository whose branch and tags only the recorder moves; the caller holds the lock between processes."""

    def __init__(self, root: Path) -> None:
        git = shutil.which("git")
        if git is None:
            raise Misconfigured(
                "git: got no such program on PATH, want git 2.28 or newer; install it with the system's packages"
            )
        self._git = git
        self.root = root
        if not (root / ".git" / "HEAD").exists():
            root.mkdir(parents=True, exist_ok=True)
            self._run("init", "--quiet", "--initial-branch=main", str(root))
        # A killed recorder leaves these behind; nobody else writes these refs.
        for lock in (root / ".git" / "refs").glob("*/*.lock"):
            lock.unlink()

    def tip(self) -> str | None:
        """The branch's commit, or None in a new repository."""
        return self._find(BRANCH)

    def tagged(self, tag: str) -> str | None:
        """The commit that `tag` marks, or None."""
        return self._find(f"refs/tags/{tag}^{{commit}}")

    def file(self, commit: str | None, path: str) -> bytes | None:
        """A file's bytes in `commit`, or None."""
        blob = self._find(f"{commit}:{path}") if commit else None
        return self._run("cat-file", "blob", blob) if blob else None

    def introduced(self, path: str) -> str:
        """The commit of the branch that last changed `path`."""
        return self._run("rev-list", "--max-count=1", BRANCH, "--", path).decode().strip()

    def commit(self, files: Mapping[str, bytes], parent: str | None, message: str, seconds: int) -> str:
        """A commit of `parent` with `files` put over it, dated `seconds` after the epoch.

        `parent` itself when nothing changes.
        """
        with tempfile.TemporaryDirectory(dir=self.root / ".git", prefix="index.") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            if parent:
                self._run("read-tree", parent, environment=index)
            entries = [f"100644 {self._blob(data)}\t{path}\n" for path, data in sorted(files.items())]
            self._run("update-index", "--add", "--index-info", stdin="".join(entries).encode(), environment=index)
            tree = self._run("write-tree", environment=index).decode().strip()
        if parent and tree == self._find(f"{parent}^{{tree}}"):
            return parent
        parents = ("-p", parent) if parent else ()
        dated = {"GIT_AUTHOR_DATE": f"{seconds} +0000", "GIT_COMMITTER_DATE": f"{seconds} +0000"}
        return self._run("commit-tree", tree, *parents, stdin=message.encode(), environment=dated).decode().strip()

    def publish(self, commit: str, parent: str | None, tag: str, message: str, seconds: int) -> None:
        """Move the branch from `parent` to `commit` and create the annotated `tag`, both or neither."""
        content = f"object {commit}\ntype commit\ntag {tag}\ntagger {_NAME} <{_EMAIL}> {seconds} +0000\n\n{message}"
        marker = self._run("mktag", stdin=content.encode()).decode().strip()
        moved = [] if commit == parent else [f"update {BRANCH} {commit} {parent or '0' * 40}"]
        self._run("update-ref", "--stdin", stdin="\n".join([*moved, f"create refs/tags/{tag} {marker}", ""]).encode())

    def refresh(self) -> bool:
        """Bring the working tree to the branch.

        False, and nothing touched, when something else is checked out or was edited.
        """
        if self._run("rev-parse", "--symbolic-full-name", "HEAD", may_fail=True).decode().strip() != BRANCH:
            return False
        lock = self.root / ".git" / "index.lock"
        try:
            age = time.time() - lock.stat().st_mtime
        except FileNotFoundError:
            return self._succeeds("read-tree", "-m", "-u", "HEAD")
        if age < _STALE_SECONDS:
            return False
        # A recorder was killed while it wrote files: what it half wrote is no edit of anybody's.
        lock.unlink(missing_ok=True)
        return self._succeeds("reset", "--hard", "--quiet")

    def _blob(self, data: bytes) -> str:
        return self._run("hash-object", "-w", "--stdin", stdin=data).decode().strip()

    def _find(self, name: str) -> str | None:
        return self._run("rev-parse", "--verify", "--quiet", name, may_fail=True).decode().strip() or None

    def _succeeds(self, *arguments: str) -> bool:
        return self._call(arguments, b"", {}).returncode == 0

    def _run(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None, may_fail: bool = False
    ) -> bytes:
        done = self._call(arguments, stdin, environment or {})
        if done.returncode and not may_fail:
            problem = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise Unavailable(f"{self.root}: git {arguments[0]} ended with {done.returncode}: {problem}; try again")
        return done.stdout

    def _call(
        self, arguments: tuple[str, ...], stdin: bytes, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                [self._git, "-C", str(self.root), *arguments],
                input=stdin,
                capture_output=True,
                env={**_ENVIRONMENT, **environment},
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(
                f"{self.root}: git {arguments[0]} did not end in {_TIMEOUT_SECONDS} s; try again"
            ) from error


_NAME = "Wardround"
_EMAIL = "recorder@wardround.invalid"

_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": _NAME,
    "GIT_AUTHOR_EMAIL": _EMAIL,
    "GIT_COMMITTER_NAME": _NAME,
    "GIT_COMMITTER_EMAIL": _EMAIL,
    "LC_ALL": "C",
}
"""No configuration, hook or identity of the machine's user enters a commit."""
