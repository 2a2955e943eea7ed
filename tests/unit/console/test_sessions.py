"""When a session ends, with FAB's own security manager, its login page and its database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from plugins.console.console_database import ConsoleDatabase
from tests.adversary import attack
from tests.support.archive import Archive
from tests.support.fab import PASSWORD, Portal, accounts, portal

LOGIN = "auditor"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    folder = tmp_path_factory.mktemp("door")
    with portal(folder, Archive(folder / "home").settings) as made:
        yield made


def with_token(door: Portal, password: str = PASSWORD) -> TestClient:
    client = door.log_in(LOGIN, password)
    assert client is not None
    return client


def in_browser(door: Portal) -> TestClient:
    """A browser after Airflow's own login page: with the cookie of FAB's session, and that of a token."""
    client = door.client()
    found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', client.get("/auth/login/").text)
    assert found
    answer = client.post("/auth/login/", data={"username": LOGIN, "password": PASSWORD, "csrf_token": found[1]})
    assert answer.status_code == 302
    assert {"session", "_token"} <= set(client.cookies)
    return client


def copied(door: Portal, browser: TestClient) -> TestClient:
    """Another browser with the same cookies."""
    thief = door.client()
    thief.cookies.update(dict(browser.cookies))
    return thief


def is_in(client: TestClient) -> bool:
    return client.get("/wardround/log").status_code == 200


def number() -> int:
    account = accounts().find(LOGIN)
    assert account is not None
    return account.number


def test_a_readmitted_persons_old_token_stays_dead(door: Portal) -> None:
    before = with_token(door)
    assert is_in(before)
    accounts().suspend(number())
    assert not is_in(before)
    assert door.log_in(LOGIN) is None
    accounts().readmit(number())
    assert not is_in(before)
    assert is_in(with_token(door))


def test_another_password_ends_what_the_old_one_opened(door: Portal) -> None:
    before = with_token(door)
    assert not accounts().change_password(number(), "not the password", "another passphrase")
    assert is_in(before)
    assert accounts().change_password(number(), PASSWORD, "another passphrase")
    assert not is_in(before)
    assert is_in(with_token(door, "another passphrase"))
    assert accounts().change_password(number(), "another passphrase", PASSWORD)


def test_who_comes_in_by_the_old_password_while_it_changes_is_out_too(
    door: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fab = door.manager.security_manager
    came_in = []
    reset = fab.reset_password

    def late(account: int, password: str) -> bool:
        came_in.append(with_token(door))
        assert is_in(came_in[0])
        return bool(reset(account, password))

    monkeypatch.setattr(fab, "reset_password", late)
    assert accounts().change_password(number(), PASSWORD, "another passphrase")
    assert not is_in(came_in[0])
    monkeypatch.undo()
    assert accounts().change_password(number(), "another passphrase", PASSWORD)


def test_a_password_stays_where_its_sessions_cannot_be_ended(
    door: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "console").write_text("no folder")
    monkeypatch.setattr(door.manager, "registry", ConsoleDatabase(tmp_path / "console"))
    with pytest.raises(FileExistsError):
        accounts().change_password(number(), PASSWORD, "another passphrase")
    monkeypatch.undo()
    assert door.log_in(LOGIN, "another passphrase") is None
    assert is_in(with_token(door))


@attack(
    by="stranger",
    to="learn",
    tries="to go on with the cookies of somebody who logged out",
    costs="cookies, which it must have got",
    seen="nothing",
)
def test_a_logout_ends_the_session_also_for_whoever_copied_its_cookies(door: Portal) -> None:
    person = in_browser(door)
    thief = copied(door, person)
    assert is_in(thief)
    assert person.get("/api/v2/auth/logout").status_code == 307
    assert not is_in(thief)
    again = thief.get("/auth/login/")
    assert again.status_code == 200, "the login page asks for a password"
    assert "_token=ey" not in again.headers.get("set-cookie", "")


def test_who_holds_an_ended_session_ends_no_later_one(door: Portal) -> None:
    person = in_browser(door)
    thief = copied(door, person)
    person.get("/api/v2/auth/logout")
    anew = in_browser(door)
    assert thief.get("/api/v2/auth/logout").status_code == 307
    assert is_in(anew)
