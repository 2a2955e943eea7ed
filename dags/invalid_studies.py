"""No DAG, but Airflow's import error for every study file that is wrong, with the field, the value and what is allowed.

Airflow drops all DAGs of a file that raises, so the check stands apart from `rounds.py`: the other studies go on.
"""

from __future__ import annotations

from pipeline.errors import Misconfigured
from pipeline.site.settings import Settings
from pipeline.study.study_files import StudyFiles

_wrong = StudyFiles.read(Settings.load().studies).wrong
if _wrong:
    raise Misconfigured("; ".join(map(str, _wrong.values())))
