"""One installation with a finished round for all tests of the console.

Those who change it take a study of their own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.domain import RoundId
from pipeline.setup import demonstration
from tests.support.consortia import HOSPITALS, Site
from tests.support.fixtures import checked_once
from tests.support.rounds import Play

__all__ = ["checked_once"]


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """MinIO, chain and actors; no Airflow."""
    site = Site(tmp_path_factory.mktemp("town") / "home")
    demonstration.configure_hospitals(site.settings, HOSPITALS)
    yield site
    site.stop()


@pytest.fixture(scope="session")
def play(town: Site) -> Play:
    """A study of five hospitals, of which elm flips its labels."""
    return town.play("glade", training={"steps": 8, "batch_size": 16})


@pytest.fixture(scope="session")
def finished(play: Play) -> RoundId:
    """Its first round."""
    return play.round()
