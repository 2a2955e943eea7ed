"""`make screenshots`: a picture of every page of a running console.

As each role sees it, on a wide screen and on a telephone; and README's.
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps
from playwright.sync_api import Browser, Page

from pipeline.airflow.airflow import AUDITOR, PROVIDER, password_file
from pipeline.datasets.records import records_folder
from pipeline.host.secret import Secret
from pipeline.site.settings import PROJECT
from plugins.console.app import create_app
from plugins.console.hospital_folder import LONGEST_SECONDS
from tests.support.browser import WIDTHS, chromium, log_in, register
from tests.support.pages import routes
from tests.support.site import Site

FOLDER = PROJECT / "build" / "screenshots"
FRONT = PROJECT / "docs" / "pictures" / "console-and-report.webp"
"""README's picture."""

_STUDY = "breast_cancer"
_HOSPITAL = "aster"
_ROUNDS = 3


@dataclass(frozen=True)
class _Camera:
    """Takes what a page shows, at each width."""

    console: str
    """Address below which its pages lie."""
    who: str

    def take(self, page: Page, name: str) -> None:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=FOLDER / f"{self.who}-{name}-{width}.png", full_page=True)

    def look(self, page: Page, path: str, name: str = "") -> None:
        page.goto(self.console + path)
        self.take(page, name or path.strip("/").replace("/", "-") or "overview")

    def every_page(self, page: Page, paths: Iterator[str]) -> None:
        """Those that this person is shown as pages: neither downloads nor what is another's."""
        for path in paths:
            answer = page.request.get(self.console + path, max_redirects=0)
            if answer.status == 200 and answer.headers["content-type"].startswith("text/html"):
                self.look(page, path)


def main() -> None:
    """Play some rounds on an installation of their own and look at every page."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with Site.kept() as site:
        shutil.copy(PROJECT / "studies" / f"{_STUDY}.yaml", site.settings.studies)
        site.wardround("up", seconds=600)
        site.wardround("run", _STUDY, "--rounds", str(_ROUNDS), seconds=900)
        with chromium() as browser:
            _visitor(site, browser)
            _provider(site, browser)
            _auditor(site, browser)
            _hospital(site, browser)
            _front(site, browser)
    print(f"{len(list(FOLDER.iterdir()))} pictures in {FOLDER.relative_to(PROJECT)}")


def _visitor(site: Site, browser: Browser) -> None:
    camera = _Camera(site.console, "visitor")
    page = browser.new_context().new_page()
    camera.every_page(page, _paths(site, {"/register", "/registered"}))
    word = dict(
        line.split(": ") for line in site.wardround("enrol", "vouch", "brook@birch.org", "--as", "birch").splitlines()
    )
    register(page, site.console, "brook@birch.org", "birch", word | {"signature": "0x00"})
    camera.take(page, "register-refused")
    register(page, site.console, "brook@birch.org", "birch", word)
    camera.look(page, "/rounds", "login")


def _provider(site: Site, browser: Browser) -> None:
    camera = _Camera(site.console, PROVIDER)
    page = _person(site, browser, PROVIDER)
    camera.every_page(page, _paths(site))
    camera.look(page, "/nowhere", "no-such-page")
    camera.look(page, f"/poisoning?study={_STUDY}&verdict=absent", "poisoning-none-fits")
    page.goto(f"{site.console}/experiments")
    page.get_by_label("Name of the new study").fill("longer")
    page.get_by_label("Fields to change").fill("training: {steps: many}")
    page.get_by_role("button", name="Show the new study").click()
    camera.take(page, "experiments-refused")
    page.get_by_label("Fields to change").fill("training: {steps: 40}")
    page.get_by_role("button", name="Show the new study").click()
    camera.take(page, "experiments-shown")
    page.goto(f"{site.console}/start")
    # One that is concluded is not offered.
    if page.locator(f'option[value="{_STUDY}"]').count():
        page.get_by_label("Study", exact=True).select_option(_STUDY)
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/start/runs*")
        camera.take(page, "start-runs")


def _auditor(site: Site, browser: Browser) -> None:
    camera = _Camera(site.console, AUDITOR)
    page = _person(site, browser, AUDITOR)
    camera.every_page(page, _paths(site))
    page.goto(f"{site.console}/rounds/{_ROUNDS}/audit")
    page.get_by_role("button", name="Audit now").click()
    page.get_by_text("checks passed").wait_for(timeout=60_000)
    camera.take(page, "rounds-audit-result")
    camera.look(page, f"/which-model?sha256={site.current_model(_STUDY)}", "which-model-found")
    camera.look(page, f"/which-model?sha256={'0' * 64}", "which-model-none")


def _hospital(site: Site, browser: Browser) -> None:
    camera = _Camera(site.console, _HOSPITAL)
    page = _person(site, browser, f"hospital-{_HOSPITAL}")
    page.set_default_timeout(1000 * LONGEST_SECONDS)
    camera.every_page(page, _paths(site))
    for button, name in (("Check the records", "check-records"), ("Check the model", "check-model")):
        page.goto(f"{site.console}/hospital/check")
        page.get_by_role("button", name=button).click()
        page.locator("#result").wait_for()
        camera.take(page, name)
    for file, name in (
        (records_folder(site.settings.hospital(_HOSPITAL), _STUDY) / "records.csv", "answers"),
        (Path(__file__), "refused"),
    ):
        page.goto(f"{site.console}/hospital/predict")
        page.locator("#files").set_input_files(file)
        page.get_by_role("button", name="Predict these records").click()
        page.get_by_role("heading", name=re.compile("^(Answers|No answer)$")).wait_for()
        camera.take(page, f"predict-{name}")


def _front(site: Site, browser: Browser) -> None:
    """A round in the console, and beside it the head and the history of its report."""
    page = _person(site, browser, PROVIDER)
    page.set_viewport_size({"width": 1280, "height": 664})
    page.goto(f"{site.console}/rounds/{_ROUNDS}")
    sides = [page.screenshot()]
    page.set_viewport_size({"width": 960, "height": 772})
    page.goto((site.settings.records / "rounds" / str(_ROUNDS) / "report.html").as_uri())
    # The hospitals stand on the console's side already.
    page.evaluate("""() => {
        const figures = document.querySelector(".figures");
        while (!figures.nextElementSibling.textContent.startsWith("History")) figures.nextElementSibling.remove();
    }""")
    sides.append(page.screenshot())
    framed = [
        ImageOps.expand(_as_high(Image.open(io.BytesIO(side)).convert("RGB"), 520), 1, "#c8ced6") for side in sides
    ]
    front = Image.new("RGB", (sum(side.width for side in framed) + 20, framed[0].height), "white")
    front.paste(framed[0], (0, 0))
    front.paste(framed[1], (framed[0].width + 20, 0))
    front.save(FRONT, quality=82, method=6)


def _as_high(picture: Image.Image, height: int) -> Image.Image:
    return picture.resize((picture.width * height // picture.height, height), Image.Resampling.LANCZOS)


def _person(site: Site, browser: Browser, login: str) -> Page:
    return log_in(browser, site.console, login, Secret.read(password_file(site.settings, login)).text())


def _paths(site: Site, only: set[str] | None = None) -> Iterator[str]:
    values: Mapping[str, object] = {"number": _ROUNDS, "name": _STUDY, "digest": "0" * 64, "suffix": "html"}
    for route in routes(create_app(site.settings)):
        if only is None or route.path in only:
            yield route.path.format(**values)


if __name__ == "__main__":
    main()
