"""The stage `validate`: a hospital's records against the data contract.

All that leaves is pass or fail, and how many, roughly.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from pipeline.datasets import records
from pipeline.datasets.grouping import emptied
from pipeline.datasets.records import shielded
from pipeline.host.files import write_secret
from pipeline.ingest.data_contract import expectations
from pipeline.study.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.expectations import Expectation

COARSE = 100
"""Row counts leave a hospital in steps of so many."""

_ONE_AT_A_TIME = Lock()
"""Great Expectations keeps its context, and we how it is configured, for the whole process."""


@dataclass(frozen=True)
class Validation:
    """What a hospital says about its records: nothing here comes from a single one."""

    dataset_version: str
    """DVC's digest of the records."""
    rows: str
    """Coarse number of records, such as "100-199"."""
    expectations: Mapping[str, bool]

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the expectations that do not hold."""
        return tuple(name for name, passed in self.expectations.items() if not passed)

    @property
    def passed(self) -> bool:
        """True when there are expectations and all of them hold."""
        return bool(self.expectations) and not self.failed

    def body(self) -> dict[str, Any]:
        """The signed statement's body."""
        return {
            "dataset_version": self.dataset_version,
            "rows": self.rows,
            "expectations": dict(self.expectations),
            "passed": self.passed,
        }


def run(home: Path, study: Study, dataset_version: str) -> Validation:
    """Validate a hospital's records, as they now are, and write the full data docs to its own docs/.

    Raises DataRejected when they are unreadable.
    """
    frame = records.frame(home, study.source)
    page, outcome = shielded(home.name, "records can be checked", lambda: check(emptied(frame, study.groupings), study))
    # As private as the records themselves: failed expectations quote their values.
    write_secret(data_docs(home, study, dataset_version), page)
    return Validation(dataset_version, coarse(len(frame)), outcome)


def data_docs(home: Path, study: Study, dataset_version: str) -> Path:
    """Where the full data docs of a version of the records lie."""
    return home / "docs" / f"{study.name}-{dataset_version}.html"


def coarse(count: int) -> str:
    """The step of a hundred that a count lies in."""
    start = count // COARSE * COARSE
    return f"{start}-{start + COARSE - 1}"


def check(frame: pd.DataFrame, study: Study) -> tuple[bytes, dict[str, bool]]:
    """The data docs and the outcome of each expectation; anything but a plain success is a failure."""
    named = dict(expectations(study))
    results = evaluate(frame, named)
    with _silence():
        from pipeline.ingest.docs import render

        return render(results), outcomes(results, named)


def outcomes(results: ExpectationSuiteValidationResult, named: Mapping[str, Expectation]) -> dict[str, bool]:
    """Name of each expectation to whether it holds."""
    success_by_name = {result.expectation_config.meta["name"]: result.success is True for result in results.results}
    return {name: success_by_name.get(name, False) for name in named}


def evaluate(frame: pd.DataFrame, named: Mapping[str, Expectation]) -> ExpectationSuiteValidationResult:
    """What Great Expectations finds.

    Each result carries its expectation's name, and for the hospital's own eyes rows and values.
    """
    with _ONE_AT_A_TIME, _silence(), _configured_once():
        import great_expectations as gx
        from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

        # Of its own, without data docs sites: the default ephemeral context leaves a folder in /tmp.
        defaults = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
        config = DataContextConfig(store_backend_defaults=defaults, analytics_enabled=False)
        context = gx.get_context(mode="ephemeral", project_config=config)
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        for name, expectation in named.items():
            expectation.meta = {"name": name}
        suite = gx.ExpectationSuite(name="contract", expectations=list(named.values()))
        asset = context.data_sources.add_pandas("hospital").add_dataframe_asset("records")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters={"dataframe": frame})
        return batch.validate(suite, result_format="COMPLETE")


@contextlib.contextmanager
def _configured_once() -> Iterator[None]:
    """Let an expectation's configuration be made once.

    Great Expectations asks for it a hundred times, which is a third of its work.
    """
    from great_expectations.expectations import Expectation

    made: dict[int, tuple[Expectation, Any]] = {}  # with the expectation, so that no other one gets its number
    usual = Expectation.configuration

    def configuration(expectation: Expectation) -> Any:
        if id(expectation) not in made:
            made[id(expectation)] = expectation, usual.__get__(expectation)
        return made[id(expectation)][1]

    Expectation.configuration = property(configuration)
    try:
        yield
    finally:
        Expectation.configuration = usual


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what Great Expectations and pandas would print, warn or log to themselves: it may quote a record."""
    loggers = [logging.getLogger(name) for name in ("great_expectations", "py.warnings")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
