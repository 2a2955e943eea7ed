"""One installation for all tests of rounds; each test plays a study of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.consortia import Site, logged, tables_checked_once


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """MinIO, chain and actors, with every digest of this session over the code as it is now, whoever edits it meanwhile."""
    from pipeline import study

    code = study.code_digest()
    home = tmp_path_factory.mktemp("site") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "code_digest", lambda: code)
        made = Site(home)
        try:
            with logged(home / "logs" / "tasks.log"):
                yield made
        finally:
            made.stop()


@pytest.fixture(scope="module", autouse=True)
def _tables_checked_once() -> Iterator[None]:
    with tables_checked_once():
        yield
