"""Each role's way through the console, in a real browser, from Airflow's own login on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from pipeline.installation import Installation
from pipeline.secret import Secret
from pipeline.setup.airflow import AUDITOR, PROVIDER, password_file
from tests.support.browser import chromium
from tests.support.site import Site

pytestmark = [pytest.mark.airflow, pytest.mark.minio, pytest.mark.anvil, pytest.mark.spu, pytest.mark.chromium]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def address(site: Site) -> str:
    return Installation.load(site.settings.installation).airflow


def log_in(site: Site, browser: Browser, login: str, password: str) -> Page:
    """Open the console as somebody without a session does: by way of the login, back to the page that was asked for."""
    page = browser.new_context().new_page()
    page.goto(f"{address(site)}/wardround/rounds")
    page.get_by_label("Username").fill(login)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    return page


def generated(site: Site, login: str) -> str:
    return Secret.read(password_file(site.settings, login)).text()


@pytest.mark.parametrize("login", [PROVIDER, AUDITOR, "hospital-aster"])
def test_a_login_leads_to_the_page_that_was_asked_for_and_shows_what_the_ledger_has(site: Site, browser: Browser, login: str) -> None:
    page = log_in(site, browser, login, generated(site, login))
    expect(page.get_by_role("heading", name="Rounds", level=1)).to_be_visible()
    number = site.rounds("small")[0].round
    page.get_by_role("link", name=str(number), exact=True).click()
    expect(page.get_by_text(site.json("show", str(number))["model_sha256"])).to_be_visible()
    page.context.close()
