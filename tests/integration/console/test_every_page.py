"""Every page, as each role sees it, in a real browser.

Usable by anybody, on a wide screen and on a telephone, with nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from pipeline.domain import RoundId
from pipeline.site.settings import PROJECT
from plugins.console.people import Person
from tests.support.browser import WIDTHS, chromium
from tests.support.console import AUDITOR, PROVIDER, client, of_hospital, served
from tests.support.consortia import Site
from tests.support.fab import Portal, portal
from tests.support.pages import pages
from tests.support.rounds import Play

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.spu, pytest.mark.chromium]

_AXE = PROJECT / "node_modules" / "axe-core" / "axe.min.js"
_FAULTS = """async () => (await axe.run()).violations
    .filter(fault => ["serious", "critical"].includes(fault.impact))
    .map(fault => `${fault.id}: ${fault.nodes.map(node => node.html).join(" | ")}`)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def accounts(town: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """Everybody has an account, of which the pages about people tell."""
    with portal(tmp_path_factory.mktemp("accounts"), town.settings) as made:
        yield made


@pytest.mark.parametrize("who", [PROVIDER, AUDITOR, of_hospital("aster")], ids=lambda who: who.role)
def test_every_page_is_usable_by_anybody_and_fits_its_screen(
    town: Site, play: Play, finished: RoundId, browser: Browser, accounts: Portal, who: Person
) -> None:
    paths = list(pages(town.settings, who, {"number": finished, "name": play.study.name}))
    assert {"/profile", "/register"} <= set(paths)
    trouble: list[str] = []
    links: set[str] = set()
    with served(town.settings, who) as address:
        # axe is injected
        page = browser.new_page()
        checked = browser.new_page(bypass_csp=True)
        page.on("console", lambda message: trouble.extend([message.text] if message.type == "error" else []))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on(
            "request",
            lambda request: trouble.extend([] if request.url.startswith((address, "data:")) else [request.url]),
        )
        for path in paths:
            page.set_viewport_size({"width": WIDTHS[1], "height": 844})
            page.goto(address + path)
            trouble += [f"{path}: {wide} px at {WIDTHS[1]}" for wide in _too_wide(page)]
            links |= set(page.eval_on_selector_all("a[href]", "found => found.map(link => link.href.split('#')[0])"))
            checked.goto(address + path)
            checked.add_script_tag(path=_AXE)
            trouble += [f"{path}: {fault}" for fault in checked.evaluate(_FAULTS)]
        page.close()
        checked.close()
        pages_of_ours = sorted(
            link.removeprefix(address) for link in links if link.startswith(address) and not _airflows(link, address)
        )
    asking = client(town.settings, who)
    assert trouble == []
    assert [link for link in pages_of_ours if asking.get(link).status_code != 200] == []


def _airflows(link: str, address: str) -> bool:
    return link.startswith((f"{address}/auth/", f"{address}/api/"))


def _too_wide(page: Page) -> list[int]:
    width = page.evaluate("document.documentElement.scrollWidth")
    return [width] if width > WIDTHS[1] else []
