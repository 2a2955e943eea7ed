"""Read by every Airflow process at its start: the scheduler loads the heavy imports once for all tasks that it forks."""

from __future__ import annotations

import sys

if "scheduler" in sys.argv:
    from pipeline.setup.preload import preload

    preload()
