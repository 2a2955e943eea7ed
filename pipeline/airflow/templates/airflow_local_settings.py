"""Read by every Airflow process at its start.

Who forks tasks or parsers of DAG files loads their heavy imports once for all of them.
"""

from __future__ import annotations

import sys

from airflow.configuration import conf

if "edge" in sys.argv:
    # A site's worker forks its tasks itself, and the scheduler none then.
    from pipeline.airflow import admission
    from pipeline.airflow.preload import preload
    from pipeline.round_steps import Actor
    from pipeline.site.settings import Settings

    queue = sys.argv[sys.argv.index("-q") + 1]
    settings = Settings.load()
    if settings.site.exists():
        # Whoever is refused would load it all, and end.
        admission.wait(settings, queue)
    preload([Actor(queue.partition("-")[0])])
elif "scheduler" in sys.argv and conf.get("core", "executor") == "LocalExecutor":
    from pipeline.airflow.preload import preload

    preload()
elif "dag-processor" in sys.argv:
    # All that takes long in reading the DAGs, which it does every half minute.
    import airflow.providers.standard.decorators.python
    import airflow.providers.standard.operators.trigger_dagrun  # noqa: F401

    import pipeline.study.study_files  # noqa: F401
