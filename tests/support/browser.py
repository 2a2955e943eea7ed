"""A real Chromium, the machine's own: packages bring no browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

_COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

PASSWORD = "correct horse battery"

WIDTHS = (1280, 390)
"""Pixels: a wide screen, a telephone."""


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


def log_in(browser: Browser, console: str, login: str, password: str) -> Page:
    """Open the console as somebody without a session does: by way of the login, back to the page that was asked for."""
    page = browser.new_context().new_page()
    page.goto(f"{console}/rounds")
    page.get_by_label("Username").fill(login)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    return page


def register(page: Page, console: str, email: str, hospital: str, word: Mapping[str, str]) -> None:
    """Fill in and send the form, with the two lines that `wardround enrol vouch` printed."""
    page.goto(f"{console}/register")
    answers = {
        "Your name": "Brook Lind",
        "E-mail address": email,
        "Postal address": "2 Ward Lane",
        "Hospital": hospital,
        "Signing address": word["signing address"],
        "Signature": word["signature"],
        "Password": PASSWORD,
        "Password again": PASSWORD,
    }
    for label, answer in answers.items():
        page.get_by_label(label, exact=True).fill(answer)
    page.get_by_role("button", name="Register").click()
