"""The study files of this installation, read once per change."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pipeline.errors import InvalidStudy
from pipeline.site.settings import Settings
from pipeline.study.study import Study


def readable(settings: Settings) -> list[Study]:
    """Studies whose files hold, by name; Airflow reports the others as import errors."""
    found = []
    for file in sorted(settings.studies.glob("*.yaml")):
        try:
            found.append(_read(file, file.stat().st_mtime_ns))
        except (InvalidStudy, FileNotFoundError):
            continue
    return found


def named(settings: Settings, name: str) -> Study | None:
    """The study of that name, or None where no file that holds has it."""
    return next((study for study in readable(settings) if study.name == name), None)


@lru_cache(maxsize=256)
def _read(file: Path, changed: int) -> Study:
    return Study.load(file)
