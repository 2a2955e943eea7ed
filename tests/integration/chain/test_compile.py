from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from pipeline.chain.contract import ARTEFACT
from pipeline.site.settings import PROJECT


def test_the_committed_build_is_what_the_pinned_compiler_makes_of_the_source(tmp_path: Path) -> None:
    built = tmp_path / "Ledger.json"
    subprocess.run(["node", "contracts/compile.mjs", str(built)], cwd=PROJECT, check=True, timeout=240)
    assert built.read_bytes() == ARTEFACT.read_bytes(), "contracts/abi/Ledger.json is stale: run npm run compile"


def test_the_build_names_the_pinned_versions() -> None:
    pins = json.loads((PROJECT / "package.json").read_text())["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pins.values())
    compiler = json.loads(ARTEFACT.read_text())["compiler"]
    assert compiler["solc"].startswith(pins["solc"] + "+")
    assert compiler["openzeppelin"] == pins["@openzeppelin/contracts"]
    assert compiler["settings"] == {
        "evmVersion": "cancun",
        "optimizer": {"enabled": True, "runs": 1_000_000},
        "viaIR": True,
        "metadata": {"bytecodeHash": "none"},
    }


def test_the_lock_file_names_no_registry() -> None:
    locked = json.loads((PROJECT / "package-lock.json").read_text())["packages"]
    assert not [name for name, entry in locked.items() if "resolved" in entry]
    assert all("integrity" in entry for name, entry in locked.items() if name)
