from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.errors import Misconfigured
from pipeline.site.settings import PROJECT
from pipeline.site.site import SiteRole
from pipeline.tools import work
from pipeline.tools.__main__ import SETS


def test_set_up_needs_the_standard_library_only() -> None:
    code = (
        "import sys, pipeline.tools.__main__; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"pipeline", "__main__", "sitecustomize"}


@pytest.mark.parametrize(
    ("site", "wanted"),
    [
        ("hospital", {"Python environment"}),
        ("auditor", {"Python environment"}),
        ("node", {"Python environment", "SPU environment"}),
        ("provider", {"Python environment", "object store", "store's guard"}),
    ],
)
def test_a_site_installs_what_its_role_needs_and_nothing_else(site: str, wanted: set[str]) -> None:
    assert set(SETS[site]) == wanted
    assert wanted <= set(SETS["runtime"])


def test_there_is_a_set_of_tools_for_every_kind_of_site() -> None:
    assert {role.value for role in SiteRole} <= set(SETS)


def test_a_folder_is_fresh_only_after_its_block_ended_well(tmp_path: Path) -> None:
    folder = tmp_path / "environment"

    def build(content: str, *, fail: bool = False) -> bool:
        with work.stamped(folder, content) as fresh:
            folder.mkdir(exist_ok=True)
            if fail:
                raise Misconfigured("no network")
        return fresh

    assert not build("one")
    assert build("one")
    assert not build("two")
    with pytest.raises(Misconfigured):
        build("three", fail=True)
    assert not build("two")


def test_a_folder_made_to_develop_in_serves_who_only_runs(tmp_path: Path) -> None:
    (folder := tmp_path / "environment").mkdir()

    def build(*fitting: str) -> bool:
        with work.stamped(folder, *fitting) as fresh:
            return fresh

    assert not build("runs", "develops")
    assert build("runs", "develops")
    assert not build("develops")
    assert build("runs", "develops")


def test_two_set_ups_at_once_make_a_folder_and_a_file_once(tmp_path: Path) -> None:
    (folder := tmp_path / "environment").mkdir()
    made: list[str] = []

    def set_up() -> None:
        with work.stamped(folder, "content") as fresh:
            if not fresh:
                made.append("environment")
        work.built(tmp_path / "minio" / "v1" / "minio", build)

    def build(scratch: Path) -> Path:
        made.append("MinIO")
        (scratch / "minio").write_text("binary")
        return scratch / "minio"

    threads = [threading.Thread(target=set_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == ["MinIO", "environment"]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def build(scratch: Path) -> Path:
        (scratch / "half").write_text("ha")
        raise Misconfigured("disk full")

    with pytest.raises(Misconfigured, match="disk full"):
        work.built(tmp_path / "minio" / "v1" / "minio", build)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_failed_step_shows_the_end_of_its_output() -> None:
    with pytest.raises(Misconfigured, match=r"could not divide \(exit 1\):\n(.*\n)*ZeroDivisionError"):
        work.run([sys.executable, "-c", "1/0"], "divide")


def test_a_missing_command_is_named() -> None:
    with pytest.raises(Misconfigured, match="no-such-command"):
        work.run(["no-such-command"], "do it")


def test_locks_name_no_registry_and_those_of_what_runs_hold_no_tool_of_developers() -> None:
    locks = {
        path.relative_to(PROJECT).as_posix(): path.read_text() for path in (PROJECT / "requirements").rglob("*.txt")
    }
    assert not [name for name, text in locks.items() if "://" in text]
    for tool in ("ruff", "pytest", "mypy", "playwright", "slither-analyzer"):
        assert [name for name, text in locks.items() if f"\n{tool}==" in text] == [
            f"requirements/dev/{'slither' if tool == 'slither-analyzer' else 'main'}.txt"
        ]


def test_both_locks_of_the_checkout_s_environment_agree() -> None:
    runs, adds = (
        dict(
            line.removesuffix(" \\").split("==")
            for line in path.read_text().splitlines()
            if "==" in line and line[0].isalnum()
        )
        for path in (PROJECT / "requirements" / "main.txt", PROJECT / "requirements" / "dev" / "main.txt")
    )
    assert {name: adds[name] for name in runs.keys() & adds.keys()} == {
        name: runs[name] for name in runs.keys() & adds.keys()
    }
