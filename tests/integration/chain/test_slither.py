from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from pipeline.devchain import anvil
from pipeline.site.settings import PROJECT, Settings
from pipeline.tools.toolchains import node

pytestmark = pytest.mark.slither

_DELIBERATE = {"incorrect-equality", "timestamp"}
"""States of an enumeration are compared for equality, and deadlines are block times."""


def test_slither_finds_nothing_but_what_is_meant(tmp_path: Path) -> None:
    folders = (anvil.tool("forge").parent, node(Settings.load()).parent)
    path = os.pathsep.join((*map(str, folders), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "FOUNDRY_PROFILE": "slither"}
    found = tmp_path / "found.json"
    command = [str(PROJECT / ".venv-slither" / "bin" / "slither"), ".", "--json", str(found)]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=240, env=environment)
    assert found.exists(), ran.stderr[-2000:]
    said = json.loads(found.read_text())
    assert said["success"], said["error"]
    assert not [finding["description"] for finding in said["results"].get("detectors", [])]
    assert "(21 contracts with 100 detectors)" in ran.stderr, ran.stderr[-500:]


def test_only_two_detectors_are_off() -> None:
    config = json.loads((PROJECT / "slither.config.json").read_text())
    assert set(config["detectors_to_exclude"].split(",")) == _DELIBERATE
