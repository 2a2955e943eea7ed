"""What tests, checks and docs need beside what runs.

Their own packages, Slither, MkDocs, a BFT chain, the compose schema.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from pipeline.site.settings import PROJECT, Settings
from pipeline.tools import runtime
from pipeline.tools.toolchains import go
from pipeline.tools.work import built, digest, run, stamped

KAIA_VERSION = "v1.0.3"
"""Of the BFT chain that `make test-bft` runs: the newest that its Go module publishes under a path that can be asked
for."""
BLST_VERSION = "v0.3.16"
"""The one that Kaia asks for does not compile with the Go of today."""
COMPOSE_VERSION = "v2.16.2"
"""Of the Go module that carries the compose schema."""


def slither_environment(settings: Settings) -> Path:
    """Slither's own environment as requirements/dev/slither.txt says; it takes an older web3 than ours."""
    return _environment(settings, "slither")


def docs_environment(settings: Settings) -> Path:
    """The environment that builds the docs, as requirements/dev/docs.txt says.

    Nothing that runs or is tested needs it.
    """
    return _environment(settings, "docs")


def _environment(settings: Settings, name: str) -> Path:
    folder = PROJECT / f".venv-{name}"
    lock = runtime.REQUIREMENTS / "dev" / f"{name}.txt"
    with stamped(folder, digest(lock)) as fresh:
        if not fresh:
            runtime.locked_environment(settings, folder, lock)
    return folder / "bin" / "python"


def bft_validator(settings: Settings) -> Path:
    """Kaia's consensus node, built from its Go module unless this user has it.

    The first time takes 5 minutes and a C compiler.
    """

    def build(folder: Path) -> Path:
        command = go(settings)
        package = "github.com/kaiachain/kaia/cmd/kcn"
        run([command, "mod", "init", "build.local/kcn"], "build Kaia", folder=folder)
        run([command, "get", "-tool", f"{package}@{KAIA_VERSION}"], "get Kaia", folder=folder)
        run([command, "get", f"github.com/supranational/blst@{BLST_VERSION}"], "get Kaia", folder=folder)
        # A library of it links to the runtime's own names, which the linker refuses unless told.
        flags = ["-trimpath", "-buildvcs=false", "-ldflags", "-s -w -checklinkname=0"]
        run([command, "build", *flags, "-o", "kcn", package], "build Kaia", folder=folder)
        return folder / "kcn"

    return built(settings.cache / "kaia" / KAIA_VERSION / "kcn", build)


def compose_schema(settings: Settings) -> Path:
    """The compose specification's JSON schema, out of its Go module."""
    wanted = settings.cache / "compose-spec" / COMPOSE_VERSION / "compose-spec.json"

    def build(folder: Path) -> Path:
        module = f"github.com/compose-spec/compose-go/v2@{COMPOSE_VERSION}"
        said = run([go(settings), "mod", "download", "-json", module], "get the compose schema")
        return Path(shutil.copy(Path(json.loads(said)["Dir"]) / "schema" / wanted.name, folder))

    return built(wanted, build)
