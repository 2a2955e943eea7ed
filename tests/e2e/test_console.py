"""Each role's way through the console, in a real browser, from Airflow's own login on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from pipeline.airflow.airflow import AUDITOR, PROVIDER, password_file
from pipeline.domain import RoundStatus
from pipeline.host.secret import Secret
from tests.support.browser import PASSWORD, chromium, log_in, register
from tests.support.site import Site

pytestmark = [pytest.mark.airflow, pytest.mark.store, pytest.mark.anvil, pytest.mark.spu, pytest.mark.chromium]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def generated(site: Site, login: str) -> str:
    return Secret.read(password_file(site.settings, login)).text()


def test_each_role_does_its_job_from_a_registration_to_an_audited_round(site: Site, browser: Browser) -> None:
    visitor = browser.new_context().new_page()
    word = dict(
        line.split(": ") for line in site.wardround("enrol", "vouch", "brook@birch.org", "--as", "birch").splitlines()
    )
    register(visitor, site.console, "brook@birch.org", "birch", word)
    expect(visitor.get_by_role("heading", name="Your registration waits")).to_be_visible()

    provider = log_in(browser, site.console, PROVIDER, generated(site, PROVIDER))
    provider.get_by_role("link", name="People").click()
    provider.get_by_role("button", name="Authorise Brook Lind").click()
    expect(provider.get_by_role("button", name="Suspend Brook Lind")).to_be_visible()
    before = len(site.rounds("small"))
    provider.get_by_role("link", name="Start").click()
    provider.get_by_label("Study").select_option("small")
    provider.get_by_role("button", name="Start").click()
    number = str(site.await_round("small", before, status=RoundStatus.FINALISED))

    hospital = log_in(browser, site.console, "brook@birch.org", PASSWORD)
    hospital.get_by_role("link", name="My rounds").click()
    expect(hospital.get_by_role("row", name=f"{number} small")).to_contain_text("accepted")
    expect(hospital.get_by_role("link", name="People")).to_have_count(0)

    auditor = log_in(browser, site.console, AUDITOR, generated(site, AUDITOR))
    expect(auditor.get_by_role("heading", name="Rounds", level=1)).to_be_visible()
    auditor.get_by_role("link", name=number, exact=True).click()
    expect(auditor.get_by_text(site.json("show", number)["model_sha256"])).to_be_visible()
    auditor.get_by_role("link", name="Audit", exact=True).click()
    auditor.get_by_role("button", name="Audit now").click()
    expect(auditor.get_by_text(f"Round {number} holds.")).to_be_visible(timeout=60_000)
    for page in (visitor, provider, hospital, auditor):
        page.context.close()
