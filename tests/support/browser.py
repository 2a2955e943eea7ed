"""A real Chromium, the machine's own: packages bring no browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

_COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

WIDTHS = (1280, 390)
"""Pixels: a desk, a telephone."""


def command() -> str | None:
    """Where this machine has a Chromium."""
    return next((found for name in _COMMANDS if (found := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser."""
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start as root, as which containers and CI run.
        browser = playwright.chromium.launch(executable_path=command(), args=["--no-sandbox"])
        yield browser
        browser.close()
