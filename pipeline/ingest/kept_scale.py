"""The scale that a study measured, kept at a hospital, so that it checks its records without asking ledger or store.

The constants are public. What lies here decides nothing: a round takes those of the model that it starts from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.datasets.measured import MeasuredInput
from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import read_object
from pipeline.host.files import write_atomic
from pipeline.model_file import Scale
from pipeline.study.study import Study


def keep(home: Path, study: Study, scale: Scale) -> None:
    """Keep what the study's first round measured of its inputs."""
    content = {"inputs": _inputs(study.source.measured), "means": scale.means, "deviations": scale.deviations}
    write_atomic(_file(home, study), json.dumps(content, indent=1).encode() + b"\n")


def kept(homes: Iterable[Path], study: Study) -> Scale | None:
    """What the first of these hospitals kept; None where none has it, or the study now measures other inputs."""
    for home in homes:
        try:
            content = read_object(_file(home, study).read_bytes())
            if content["inputs"] == _inputs(study.source.measured):
                return Scale(tuple(map(float, content["means"])), tuple(map(float, content["deviations"])))
        except (FileNotFoundError, EvidenceRejected, KeyError, TypeError, ValueError):
            continue
    return None


def _file(home: Path, study: Study) -> Path:
    return home / "scales" / f"{study.name}.json"


def _inputs(measured: Sequence[MeasuredInput]) -> list[list[str | float]]:
    return [[one.name, float(one.lowest), float(one.highest)] for one in measured]
