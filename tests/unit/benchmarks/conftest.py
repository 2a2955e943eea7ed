"""Records for the laboratory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.poisoning import data
from tests.support.heart import publish


@pytest.fixture(scope="module")
def published_heart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The laboratory finds files like the publisher's of heart disease."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARDROUND_DATA", str(publish(tmp_path_factory.mktemp("data") / "published")))
        for cached in (data.world, data._records):
            cached.cache_clear()
        yield
        for cached in (data.world, data._records):
            cached.cache_clear()
