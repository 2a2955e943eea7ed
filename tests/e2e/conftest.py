"""One installation for all end-to-end tests, which use it one after the other: the gentle ones first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.site import Site
from tests.support.thresholds import FOR_FEW_SAMPLES

HOSPITALS = ["aster", "birch", "cedar", "dahlia", "elm"]
STUDY = {
    "title": "Breast cancer, a few steps of a small model",
    "dataset": "breast_cancer",
    "hospitals": HOSPITALS,
    "nodes": ["north", "east", "west"],
    "engine": "spu",
    "protocol": "aby3",
    "model": [{"Linear": {"out_features": 2}}],
    "training": {"steps": 4},
    "rule": {"images_per_hospital": 8, **FOR_FEW_SAMPLES},
    "partition": {"alpha": 2.0, "per_class": 20},
    "seed": 4,
}
STUDIES = {
    "small": STUDY | {"deadlines": {"commit_seconds": 120, "result_seconds": 200}},
    # For a round whose verifications are killed, each as often as it is tried.
    "doomed": STUDY | {"deadlines": {"commit_seconds": 100, "result_seconds": 320}},
    # For rounds that nothing can save: whoever waits for their end waits a moment.
    "brief": STUDY | {"deadlines": {"commit_seconds": 12, "result_seconds": 24}},
}

DEAD_PROXY = {
    "NO_PROXY": "",
    "no_proxy": "",
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"),
}
"""Whatever stands between this machine and others, its own services and the workers in Airflow find one another."""


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """A running installation, set up and stopped by the command."""
    with Site.kept(DEAD_PROXY) as made:
        made.add(STUDIES)
        yield made
