"""A service that is down: every page says which, and the overview shows the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.domain import RoundId
from pipeline.host import ports
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from tests.support.console import AUDITOR, PROVIDER, client
from tests.support.consortia import Site

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.spu]


def cut_off(town: Site, home: Path, **dead: str) -> Settings:
    """The town's own settings, with services at addresses where nobody listens."""
    home.mkdir()
    for name in ("auditor", "consortium.yaml", "studies"):
        (home / name).symlink_to(town.settings.home / name)
    Installation.model_validate({**town.services.model_dump(), **dead}).save(home / "installation.yaml")
    return replace(town.settings, home=home)


@pytest.mark.parametrize(
    ("service", "title", "said"),
    [("store", "Object store", "is the store up?"), ("rpc", "Chain", "the chain did not answer")],
)
def test_pages_name_the_service_that_is_down_and_the_overview_stays(
    town: Site, finished: RoundId, tmp_path: Path, service: str, title: str, said: str
) -> None:
    settings = cut_off(town, tmp_path / "home", **{service: f"http://{ports.LOOPBACK}:{ports.choose()}"})
    pages = client(settings, AUDITOR)
    for path in ("/rounds", f"/rounds/{finished}"):
        answer = pages.get(path)
        assert answer.status_code == 503, path
        assert said in answer.text
    overview = client(settings, PROVIDER).get("/")
    assert overview.status_code == 200
    assert "Rounds and members cannot be read now." in overview.text
    assert f'<span class="tag rejected">trouble</span> {title}' in overview.text


def test_an_installation_that_was_never_set_up_says_what_to_run(town: Site, tmp_path: Path) -> None:
    answer = client(replace(town.settings, home=tmp_path), PROVIDER).get("/")
    assert answer.status_code == 500
    assert "run `wardround up`" in answer.text
