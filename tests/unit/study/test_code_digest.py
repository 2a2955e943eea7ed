import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.site.settings import PROJECT
from pipeline.study import code_digest as code_digest_module
from pipeline.study.code_digest import SCHEME, STEPS, code_digest, code_terms, deciding_files

MODULES = sorted(
    file.relative_to(PROJECT) for file in PROJECT.glob("pipeline/**/*.py") if "templates" not in file.parts
)


@dataclass(frozen=True)
class Copy:
    """A project whose files are edited one after the other, and put back each time."""

    project: Path
    parts: dict[str, str]
    """Its digests before an edit."""

    def edited(self, file: Path) -> list[str]:
        """The parts whose digest an edit of `file` changes."""
        path = self.project / file
        kept = path.read_bytes()
        path.write_bytes(kept + b"\n")
        try:
            return [part for part, digest in code_terms(self.project)["parts"].items() if digest != self.parts[part]]
        finally:
            path.write_bytes(kept)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """What the digest may cover."""
    project = tmp_path_factory.mktemp("project")
    for folder in ("pipeline", "mpc-programs", "contracts/abi", "requirements"):
        shutil.copytree(PROJECT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return Copy(project, code_terms(project)["parts"])


@pytest.fixture(autouse=True, scope="module")
def _imports_read_once() -> Iterator[None]:
    """No test here edits an import."""
    modules = code_digest_module.closure(code_digest_module.STEPS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_digest_module, "closure", lambda steps: modules)
        yield


@pytest.fixture(scope="module")
def loaded() -> set[Path]:
    """Every file of ours that a fresh interpreter loads with the steps, whatever our reading of imports says."""
    told = (
        "import sys; print(*(m.__file__ for n, m in sorted(sys.modules.items()) if n.startswith('pipeline') and"
        " m.__file__), sep='\\n')"
    )
    out = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(STEPS)}; {told}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {Path(line).relative_to(PROJECT) for line in out.stdout.split()}


def test_every_module_that_a_step_loads_is_covered(loaded: set[Path]) -> None:
    covered = {file.relative_to(PROJECT) for files in deciding_files(PROJECT).values() for file in files}
    assert len(loaded) > 80
    assert loaded - covered == set()


def test_an_edit_changes_the_digest_where_a_step_imports_the_file_and_nowhere_else(copy: Copy) -> None:
    covered = {file.relative_to(PROJECT) for files in deciding_files(PROJECT).values() for file in files}
    for file in MODULES:
        part = (
            ".".join(file.with_suffix("").parts[:2])
            if len(file.parts) > 2 or file.name != "__init__.py"
            else "pipeline"
        )
        assert copy.edited(file) == ([part] if file in covered else []), file


_UNCOVERED = (
    *("cli", "setup", "backup", "services", "watch", "airflow", "tools"),
    *("views", "governance", "replay", "report", "study_repository", "devchain"),
)


@pytest.mark.parametrize("package", _UNCOVERED)
def test_what_decides_no_result_is_not_covered(package: str) -> None:
    assert f"pipeline.{package}" not in code_digest()["parts"]


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("mpc-programs/verify.mpc", "programs under encryption"),
        ("mpc-programs/spu/verify.py", "programs under encryption"),
        ("contracts/abi/Ledger.json", "interface of the contract"),
        ("requirements/main.txt", "packages"),
        ("requirements/spu.txt", "packages"),
        ("requirements/deploy.txt", None),
        ("requirements/dev/main.txt", None),
    ],
)
def test_programs_contract_and_the_locks_of_what_runs_are_covered(copy: Copy, file: str, part: str | None) -> None:
    assert copy.edited(Path(file)) == ([part] if part else [])


def test_the_digest_says_its_scheme() -> None:
    assert code_digest()["scheme"] == SCHEME
