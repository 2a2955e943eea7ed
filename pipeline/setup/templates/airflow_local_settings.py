"""Read by every Airflow process at its start.

Who forks tasks or parsers of DAG files loads their heavy imports once for all of them.
"""

from __future__ import annotations

import sys

from airflow.configuration import conf

# A site's worker forks its tasks itself, and the scheduler none then.
if "edge" in sys.argv or ("scheduler" in sys.argv and conf.get("core", "executor") == "LocalExecutor"):
    from pipeline.setup.preload import preload

    preload()
elif "dag-processor" in sys.argv:
    # All that takes long in reading the DAGs, which it does every half minute.
    import airflow.providers.standard.decorators.python
    import airflow.providers.standard.operators.trigger_dagrun  # noqa: F401

    import pipeline.study.study_files  # noqa: F401
