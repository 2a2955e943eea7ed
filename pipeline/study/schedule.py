"""The end of a study's schedule: once the ledger says that the study is concluded, Airflow starts no round of it.

What the ledger says is kept in a file, since a DAG is read every minute and asks no chain. It stops a schedule and
nothing else: rounds are refused by ledger, nodes and provider.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.host.files import write_atomic
from pipeline.site.settings import Settings
from pipeline.study.study import Study


def of(study: Study, settings: Settings) -> str | None:
    """When Airflow starts rounds of the study by itself; None for never, and once it has ended."""
    return None if _ended(study.name, settings).exists() else study.schedule


def end(study: str, settings: Settings) -> None:
    """Keep that the study is concluded."""
    write_atomic(_ended(study, settings), b"")


def _ended(study: str, settings: Settings) -> Path:
    return settings.provider / "concluded" / study
