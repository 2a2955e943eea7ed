from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import Misconfigured
from pipeline.services.services import NAMES
from pipeline.services.status import report
from pipeline.setup import folders
from pipeline.site.settings import HOME, PROJECT, VARIABLES, Settings, inherited
from tests.support.installations import INSTALLATION


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """A shell that names everything."""
    says = {"studies": "s", "data": "d:e", "cache": "c", "mp_spdz": "m"}
    shell = {VARIABLES[name]: ":".join(str(tmp_path / part) for part in text.split(":")) for name, text in says.items()}
    for variable, text in (shell | {HOME: str(tmp_path / "home")}).items():
        monkeypatch.setenv(variable, text)
    return shell


@pytest.fixture
def silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that names an installation, and nothing else."""
    for variable in (*VARIABLES.values(), "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(HOME, str(tmp_path / "home"))


def up(settings: Settings) -> list[folders.FolderDifference]:
    """What `wardround up` writes down of settings."""
    if not settings.installation.exists():
        INSTALLATION.save(settings.installation)
    return folders.write_down(settings)[1]


def test_before_the_first_up_the_environment_counts(said: Mapping[str, str]) -> None:
    assert {name: Settings.load().environment[name] for name in said} == said


def test_before_the_first_up_a_file_with_a_wish_alone_says_nothing_of_folders(said: Mapping[str, str]) -> None:
    installation = Settings.load().installation
    installation.parent.mkdir()
    installation.write_text("store_server: minio\n")
    assert {name: Settings.load().environment[name] for name in said} == said
    assert [row["process"] for row in report(Settings.load())] == ["absent"] * len(NAMES)


def test_a_child_process_finds_the_same_by_the_variables(said: Mapping[str, str]) -> None:
    assert dict(Settings.load().environment) == said | {HOME: str(Settings.load().home)}


def test_what_up_wrote_down_counts_whatever_another_shell_says(
    said: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    up(Settings.wanted())
    for variable in said:
        monkeypatch.setenv(variable, "/elsewhere")
    assert {name: Settings.load().environment[name] for name in said} == said


def test_after_an_up_that_named_nothing_no_shell_s_word_counts(
    silent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Settings.load()
    up(Settings.wanted())
    monkeypatch.setenv("MP_SPDZ_HOME", str(tmp_path / "later"))
    assert Settings.load() == usual
    assert up(Settings.wanted()) == [("MP_SPDZ_HOME", str(usual.mp_spdz), str(tmp_path / "later"))]
    assert Settings.load().mp_spdz == tmp_path / "later"


def test_an_up_from_a_shell_that_names_nothing_keeps_what_is_written_down(
    said: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    up(Settings.wanted())
    for variable in said:
        monkeypatch.delenv(variable)
    assert up(Settings.wanted()) == []
    assert {name: Settings.load().environment[name] for name in said} == said


def test_only_what_is_not_the_default_is_written_down(silent: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDROUND_STUDIES", str(PROJECT / "studies"))
    up(Settings.wanted())
    assert "folders: {}" in Settings.load().installation.read_text()


def test_a_path_is_written_as_seen_from_the_shell_and_not_from_a_worker_s_folder(
    silent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WARDROUND_DATA", "near:/far")
    up(Settings.wanted())
    assert Settings.load().data == (tmp_path / "near", Path("/far"))


def test_a_relative_path_that_somebody_wrote_is_refused_by_its_name(silent: None) -> None:
    up(Settings.wanted())
    file = Settings.load().installation
    file.write_text(file.read_text().replace("folders: {}", "folders: {mp_spdz: spdz}"))
    with pytest.raises(Misconfigured, match=r"folders\.mp_spdz: got '?.*spdz'?.*absolute path"):
        Settings.load()


def test_the_cache_of_the_desktop_s_standard_is_written_down_too(
    silent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    up(Settings.wanted())
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert Settings.load().cache == tmp_path / "caches" / "wardround"


def test_a_digest_goes_with_its_release(silent: None, tmp_path: Path) -> None:
    release = replace(Settings.load(), mp_spdz=tmp_path / "release")
    INSTALLATION.save(release.installation)
    assert folders.write_down(release, "0" * 64)[0].mp_spdz_release == "0" * 64
    assert folders.write_down(release)[0].mp_spdz_release == "0" * 64
    assert folders.write_down(replace(release, mp_spdz=tmp_path / "own"))[0].mp_spdz_release is None


def test_status_says_where_things_lie_and_who_said_so(silent: None, tmp_path: Path) -> None:
    release = replace(Settings.load(), mp_spdz=tmp_path / "release")
    INSTALLATION.save(release.installation)
    folders.write_down(release, "ab" * 32)
    lie = {place.variable: place for place in folders.folder_settings(Settings.load())}
    assert lie["MP_SPDZ_HOME"].where == str(tmp_path / "release")
    assert lie["MP_SPDZ_HOME"].why == f"as installation.yaml says; release {'ab' * 8}"
    assert lie["WARDROUND_STUDIES"].why == "by default"


def test_a_service_inherits_no_word_of_where_things_lie(
    said: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("DROPPED", "1")
    environment = inherited(without=["DROPPED"])
    assert "KEPT" in environment
    assert not {HOME, "DROPPED", *said} & environment.keys()


def test_no_other_module_reads_or_sets_these_variables() -> None:
    named = {}
    for folder in ("pipeline", "plugins", "dags"):
        for file in (PROJECT / folder).rglob("*.py"):
            texts = {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}
            if found := texts & {HOME, *VARIABLES.values(), "XDG_CACHE_HOME"}:
                named[str(file.relative_to(PROJECT))] = found
    assert list(named) == ["pipeline/site/settings.py"]


def test_set_up_reads_its_settings_without_any_library() -> None:
    code = "import pipeline.tools, sys; assert not {'yaml', 'pydantic'} & sys.modules.keys()"
    assert subprocess.run([sys.executable, "-S", "-c", code], cwd=PROJECT, check=False).returncode == 0
