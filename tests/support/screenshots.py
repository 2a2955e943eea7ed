"""`make screenshots`: a picture of every page of the console, as each role sees it, at a desk and on a telephone."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pipeline.settings import PROJECT
from pipeline.setup import demonstration
from tests.support.browser import WIDTHS, chromium
from tests.support.console import AUDITOR, PROVIDER, of_hospital, served
from tests.support.consortia import HOSPITALS, Site
from tests.support.fab import portal
from tests.support.pages import pages

FOLDER = PROJECT / "build" / "screenshots"
_ROUNDS = 3


def main() -> None:
    """Play some rounds on an installation of their own and look at every page."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    # Not a deeper folder: the process manager's socket has a short name.
    with tempfile.TemporaryDirectory(prefix="wardround-") as folder:
        site = Site(Path(folder) / "home")
        try:
            demonstration.configure_hospitals(site.settings, HOSPITALS)
            play = site.play("glade", training={"steps": 8, "batch_size": 16})
            last = [play.round(f"run-{number}") for number in range(_ROUNDS)][-1]
            with portal(Path(folder), site.settings), chromium() as browser:
                for who in (PROVIDER, AUDITOR, of_hospital("aster"), None):
                    paths = list(pages(site.settings, who, {"number": last, "name": play.study.name}))
                    with served(site.settings, who) as address:
                        for width in WIDTHS:
                            page = browser.new_page(viewport={"width": width, "height": 900})
                            for path in paths:
                                page.goto(address + path)
                                name = path.strip("/").replace("/", "-") or "overview"
                                page.screenshot(path=FOLDER / f"{who.login if who else 'nobody'}-{name}-{width}.png", full_page=True)
                            page.close()
        finally:
            site.stop()
    print(f"{len(list(FOLDER.iterdir()))} pictures in {FOLDER.relative_to(PROJECT)}")


if __name__ == "__main__":
    main()
