"""Settings and studies for tests of the set-up."""

from __future__ import annotations

from pathlib import Path

from pipeline.site.installation import Installation
from pipeline.site.settings import PROJECT, Settings
from pipeline.study.study import Study

INSTALLATION = Installation(
    store="http://127.0.0.1:20001", rpc="http://127.0.0.1:20002", airflow="http://127.0.0.1:20003"
)


def settings_in(home: Path) -> Settings:
    """An installation in `home`, with the checkout's studies and this user's tools."""
    usual = Settings.load()
    return Settings(home=home, data=usual.data, cache=usual.cache, mp_spdz=usual.mp_spdz, studies=PROJECT / "studies")


def study(name: str = "breast_cancer", **changes: object) -> Study:
    """A study of the checkout, changed."""
    return Study.load(PROJECT / "studies" / f"{name}.yaml").model_copy(update=changes)
