"""Check a compose file against the compose specification's schema and against itself.

`python -m pipeline.setup.compose FILE`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema.validators import validator_for

from pipeline.site.settings import Settings
from pipeline.tools.development import compose_schema

ROLES = ("hospital", "node", "provider", "auditor")
"""Each has a file in docker/, and a target of its own in the Dockerfile."""


def services(path: Path) -> dict[str, dict[str, Any]]:
    """A file's services, each with what it takes over from another file's."""
    whole = {}
    for name, service in yaml.safe_load(path.read_text())["services"].items():
        extended = service.get("extends")
        taken = services(path.parent / extended["file"])[extended["service"]] if extended else {}
        whole[name] = {**taken, **service}
    return whole


def problems(compose: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """What the schema refuses, and names that a service uses but the file does not define."""
    refused = [
        f"{'.'.join(map(str, error.absolute_path)) or 'file'}: {error.message}"
        for error in validator_for(schema)(schema).iter_errors(compose)
    ]
    return refused or list(_dangling(compose))


def _dangling(compose: dict[str, Any]) -> Iterator[str]:
    services = compose["services"]
    for name, service in services.items():
        for kind in ("secrets", "networks"):
            # A secret may be mounted under another name than its own.
            named = {item["source"] if isinstance(item, dict) else item for item in service.get(kind, ())}
            unknown = named - set(compose.get(kind, {}))
            yield from (f"services.{name}.{kind}: {item} is not defined" for item in sorted(unknown))
        yield from (
            f"services.{name}.depends_on: no service {item}"
            for item in sorted(set(service.get("depends_on", ())) - set(services))
        )
        sources = {volume.partition(":")[0] for volume in service.get("volumes", ())}
        volumes = {source for source in sources if not source.startswith((".", "/"))}
        yield from (
            f"services.{name}.volumes: {item} is not defined"
            for item in sorted(volumes - set(compose.get("volumes", {})))
        )
        kind, _, other = service.get("network_mode", "").partition(":")
        if kind == "service" and other not in services:
            yield f"services.{name}.network_mode: no service {other}"


def main(path: Path) -> int:
    """Print what is wrong; the exit code."""
    schema = json.loads(compose_schema(Settings.load()).read_text())
    wrong = problems(yaml.safe_load(path.read_text()), schema)
    sys.stderr.writelines(f"{path}: {problem}\n" for problem in wrong)
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
