"""What the parties compare before they compute: the program's files and the public task."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from pipeline.domain import Sha256
from pipeline.evidence.canonical import digest, sha256
from pipeline.layers.table import to_plain
from pipeline.mpc.engines.base import ProjectedTask, Task, VerifyTask
from pipeline.site.settings import PROJECT


def files_digest(files: Iterable[Path]) -> Sha256:
    """SHA-256 over the names and bytes of files of this checkout."""
    return digest({str(file.relative_to(PROJECT)): sha256(file.read_bytes()) for file in sorted(files)})


def task_digest(protocol: str, task: Task) -> Sha256:
    """SHA-256 over everything public that the parties must agree on."""
    content: dict[str, object] = {"protocol": protocol, "hospitals": list(task.hospitals)}
    if isinstance(task, VerifyTask):
        content["network"] = to_plain(task.network)
        content["rule"] = dataclasses.asdict(task.rule) | {"input_range": list(task.rule.input_range)}
        content["previous_model"] = sha256(task.previous_model.tobytes())
        if isinstance(task, ProjectedTask):
            content["seed"] = task.seed
        return digest(content)
    return digest(content | {"kind": type(task).__name__, "size": task.size})
