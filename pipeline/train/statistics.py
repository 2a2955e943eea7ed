"""What a hospital says of its inputs in the round that measures their scale."""

from __future__ import annotations

from pathlib import Path

from pipeline.datasets import measured, records
from pipeline.model_file import Vector
from pipeline.study.study import Study
from pipeline.train.misbehaviour import configured


def statistics(study: Study, home: Path) -> Vector:
    """Means and deviations of its training records, (2 * inputs,) int64, as `pipeline.datasets.measured` says them."""
    source = study.source
    vector = measured.figures(source.measured, records.statistics(home, source))
    return configured(home).tampers(vector)
