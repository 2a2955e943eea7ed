"""No DAG, but Airflow's import error for every study file that is wrong, with the field, the value and what is allowed.

Airflow drops all DAGs of a file that raises, so the check stands apart from `rounds.py`: the other studies go on.
"""

from __future__ import annotations

from study_files import read

from pipeline.errors import Misconfigured

_errors = read()[1]
if _errors:
    raise Misconfigured("; ".join(map(str, _errors)))
