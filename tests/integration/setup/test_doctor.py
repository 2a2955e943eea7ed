"""What `wardround doctor` finds: what the workers would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.setup import folders
from pipeline.setup.doctor import Finding, examine
from pipeline.site.settings import Settings
from tests.support.installations import INSTALLATION, settings_in


def findings(settings: Settings) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(Settings.load(settings.home))}


def test_it_looks_where_the_workers_look_and_says_that_this_shell_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings_in(tmp_path / "home"), mp_spdz=tmp_path / "workers")
    INSTALLATION.save(settings.installation)
    folders.write_down(settings)
    monkeypatch.setenv("MP_SPDZ_HOME", str(tmp_path / "shell"))
    found = findings(settings)
    assert not found["engine mp-spdz"].passed
    assert f"{tmp_path / 'workers'}: got no compile.py" in found["engine mp-spdz"].detail
    assert str(tmp_path / "shell") in found["MP_SPDZ_HOME"].detail
    assert "run `wardround up`" in found["MP_SPDZ_HOME"].detail
    assert "480 tries of a model on a sample" in found["a round of pneumonia"].detail
    folders.write_down(Settings.wanted(settings.home))
    found = findings(settings)
    assert "MP_SPDZ_HOME" not in found
    assert f"{tmp_path / 'shell'}: got no compile.py" in found["engine mp-spdz"].detail
