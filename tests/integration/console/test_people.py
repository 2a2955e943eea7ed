"""From registration to a session's end, with FAB's own security manager, a real ledger and real keys."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from pipeline.chain.ledger import HospitalStatus
from pipeline.domain import HospitalName
from pipeline.errors import EvidenceRejected, Refused
from pipeline.governance import enrolment
from pipeline.site import identity
from pipeline.site.consortium import Consortium
from plugins.console import limiting
from tests.adversary import attack
from tests.support.consortia import Site
from tests.support.fab import PASSWORD, Portal, accounts, portal

if TYPE_CHECKING:
    from plugins.console.accounts import Account

pytestmark = [pytest.mark.store, pytest.mark.anvil]

NEW = HospitalName("yarrow")
"""A hospital that no study and no members' file names."""


@pytest.fixture(scope="module")
def door(town: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    enrolment.prepare(NEW, town.settings)
    with portal(tmp_path_factory.mktemp("door"), town.settings) as made:
        yield made


@pytest.fixture(autouse=True)
def _unhurried(door: Portal) -> None:
    door.console.state.limits = limiting.RateLimits()


def filled(town: Site, email: str, hospital: str, **other: str) -> dict[str, str]:
    """The form as the hospital's person fills it in, with some fields otherwise."""
    address, signature = enrolment.vouch(HospitalName(hospital), email, town.settings)
    return {
        "name": "Ada Hart", "email": email, "postal": "1 Ward Lane\nSickbay", "hospital": hospital, "address": address,
        "signature": signature, "password": PASSWORD, "password_again": PASSWORD, **other,
    }  # fmt: skip


def send(door: Portal, form: Mapping[str, str], client: TestClient | None = None) -> tuple[int, str]:
    """Open the form and send it; status, and the page or where it leads."""
    client = client or door.client()
    page = client.get("/wardround/register").text
    answer = client.post("/wardround/register", data={"csrf_token": _token(page), **form})
    return answer.status_code, answer.headers.get("location", answer.text)


def _token(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found, page
    return found[1]


def post(client: TestClient, path: str, page: str = "/wardround/profile", **form: str) -> tuple[int, str]:
    """Send a form of a page, as that page's own button does."""
    answer = client.post(path, data={"csrf_token": _token(client.get(page).text), **form})
    return answer.status_code, answer.headers.get("location", answer.text)


def account(login: str) -> Account:
    found = accounts().find(login)
    assert found is not None, f"no account {login}"
    return found


def logged_in(door: Portal, login: str, password: str = PASSWORD) -> TestClient:
    client = door.log_in(login, password)
    assert client is not None, f"{login} cannot log in"
    return client


def member(door: Portal, town: Site, email: str, hospital: str = "aster") -> TestClient:
    """Somebody of a hospital, registered, authorised and logged in."""
    assert send(door, filled(town, email, hospital)) == (303, "/wardround/registered")
    provider = logged_in(door, "provider")
    assert post(provider, f"/wardround/people/{account(email).number}/authorise") == (303, "/wardround/people")
    return logged_in(door, email)


@attack(
    by="stranger",
    to="learn",
    tries="to come in by registering",
    costs="an application that waits",
    seen="its application, with its address",
)
def test_whoever_registers_waits_and_cannot_log_in(door: Portal, town: Site) -> None:
    assert send(door, filled(town, "Waits@Aster.org", "aster")) == (303, "/wardround/registered")
    found = account("waits@aster.org")
    assert (found.state, found.roles, found.active) == ("waiting", (), False)
    assert door.log_in("waits@aster.org") is None
    assert door.manager.flask_app is not None
    with door.manager.flask_app.app_context():
        assert door.manager.security_manager.find_user("waits@aster.org").password.startswith("scrypt:"), (
            "hashed by the framework"
        )
    with sqlite3.connect(town.settings.home / "console" / "people.db") as file:
        assert PASSWORD not in "".join(file.iterdump())
    assert (town.settings.home / "console" / "people.db").stat().st_mode & 0o077 == 0


def test_a_new_hospital_comes_in_step_by_step(door: Portal, town: Site) -> None:
    address, _ = enrolment.vouch(NEW, "new@yarrow.org", town.settings)
    member(door, town, "new@yarrow.org", NEW)
    assert account("new@yarrow.org").roles == (f"Hospital {NEW}",)
    assert town.ledger.hospital(address) is HospitalStatus.UNKNOWN, (
        "the contract takes no hospital that did not register itself"
    )
    provider = logged_in(door, "provider")
    assert f"wardround enrol register --as {NEW}" in provider.get("/wardround/people").text
    assert enrolment.register(NEW, town.settings) == address
    with pytest.raises(Refused, match="registered on the ledger already"):
        enrolment.register(NEW, town.settings)
    for action, status in (
        *[("authorise", HospitalStatus.AUTHORISED)] * 2,
        *[("revoke", HospitalStatus.REVOKED)] * 2,
        ("authorise", HospitalStatus.AUTHORISED),
    ):
        assert post(provider, f"/wardround/hospitals/{NEW}/{action}") == (303, "/wardround/people")
        assert town.ledger.hospital(address) is status
    assert post(provider, "/wardround/hospitals/nowhere/revoke")[0] == 404


def test_authorising_a_person_authorises_a_hospital_that_waits_on_the_ledger(door: Portal, town: Site) -> None:
    other = HospitalName("zinnia")
    address = enrolment.prepare(other, town.settings)
    enrolment.register(other, town.settings)
    member(door, town, "first@zinnia.org", other)
    assert town.ledger.hospital(address) is HospitalStatus.AUTHORISED


@attack(
    by="hospital",
    to="learn",
    tries="to go on with a session or token after its person was suspended",
    costs="nothing",
    seen="nothing: each request is refused",
)
def test_a_suspended_persons_session_ends_at_once_and_the_hospital_stays(door: Portal, town: Site) -> None:
    person = member(door, town, "suspended@aster.org")
    assert person.get("/wardround/profile").status_code == 200
    provider = logged_in(door, "provider")
    number = account("suspended@aster.org").number
    assert post(provider, f"/wardround/people/{number}/suspend")[0] == 303
    assert person.get("/wardround/profile").headers["location"].startswith("/auth/login/")
    assert person.post("/wardround/profile/details", data={"email": "other@aster.org"}).status_code in (401, 403)
    assert door.log_in("suspended@aster.org") is None
    assert town.ledger.hospital(town.members.hospital(HospitalName("aster"))) is HospitalStatus.AUTHORISED
    assert post(provider, f"/wardround/people/{number}/readmit")[0] == 303
    assert person.get("/wardround/profile").headers["location"].startswith("/auth/login/"), "the old token stays dead"
    assert logged_in(door, "suspended@aster.org").get("/wardround/profile").status_code == 200
    assert post(provider, f"/wardround/people/{number}/authorise")[0] == 409, (
        "an account is bound to a hospital one time"
    )
    own = account("provider").number
    assert post(provider, f"/wardround/people/{own}/suspend")[0] == 409, "nobody could readmit the provider"


@attack(
    by="hospital",
    to="change",
    tries="to register a person for another hospital",
    costs="nothing",
    seen="nothing: the form is refused",
)
def test_nobody_takes_another_hospitals_name_or_address(door: Portal, town: Site) -> None:
    thief = {"email": "thief@birch.org"}
    birch = town.members.hospital(HospitalName("birch"))
    own = filled(town, "thief@birch.org", "aster")
    stolen_ids = (
        own | {"hospital": "birch"},  # another's name, one's own key
        own | {"address": birch},  # another's key, which is public
        own | {"hospital": "birch", "address": birch},  # both, without its signature
        filled(town, "honest@birch.org", "birch") | thief,  # a signature to somebody else
        filled(town, "thief@birch.org", "birch") | {"hospital": "Birch"},
        filled(town, "thief@birch.org", "birch") | {"hospital": "bir\u0441h"},
        filled(town, "thief@birch.org", "birch") | {"hospital": "meadow"},  # a known key under a new name
    )
    for number, stolen in enumerate(stolen_ids):
        status, page = send(door, stolen, door.client(f"192.0.2.{number}"))
        assert status == 422, stolen
        assert 'role="alert"' in page
    assert accounts().find("thief@birch.org") is None


@attack(
    by="hospital",
    to="change",
    tries="to get another role by fields, headers or queries of its own",
    costs="nothing",
    seen="nothing: the form is refused",
)
def test_no_role_comes_from_a_request(door: Portal, town: Site) -> None:
    client = member(door, town, "climber@aster.org")
    for extra in ({"role": "Provider"}, {"roles": "Admin"}, {"active": "true"}):
        status, page = send(door, filled(town, "other-climber@aster.org", "aster") | extra)
        assert (status, f"fields that this page has not: {next(iter(extra))}." in page) == (422, True)
        status, _ = post(client, "/wardround/profile/details", email="climber@aster.org", postal="1 Ward Lane", **extra)
        assert status == 422
    assert (
        post(client, "/wardround/profile/details", email="climber@aster.org", postal="1 Ward Lane", hospital="birch")[0]
        == 422
    )
    assert account("climber@aster.org").roles == ("Hospital aster",)
    assert client.get("/wardround/people").status_code == 403
    assert (
        client.get("/wardround/people", headers={"X-Role": "Provider"}, params={"role": "Provider"}).status_code == 403
    )


@attack(
    by="hospital",
    to="stop",
    tries="to suspend others' people or revoke their hospital, also with the provider's form token",
    costs="nothing",
    seen="nothing: 403",
)
def test_nobody_acts_for_another_account(door: Portal, town: Site) -> None:
    client = member(door, town, "mallory@aster.org")
    send(door, filled(town, "victim@birch.org", "birch"))
    token = {"csrf_token": _token(client.get("/wardround/profile").text)}
    number = account("victim@birch.org").number
    for path in (
        f"people/{number}/authorise",
        f"people/{number}/suspend",
        "hospitals/birch/revoke",
        "hospitals/aster/authorise",
    ):
        assert client.post(f"/wardround/{path}", data=token).status_code == 403
    stolen = {"csrf_token": _token(logged_in(door, "provider").get("/wardround/people").text)}
    assert client.post("/wardround/profile/details", data=stolen | {"email": "x@aster.org"}).status_code == 403
    assert account("victim@birch.org").state == "waiting"


@attack(
    by="stranger",
    to="change",
    tries="to run a script in the provider's browser by its name or address",
    costs="an application that waits",
    seen="its application, with the script as text",
)
def test_a_script_in_a_name_is_text(door: Portal, town: Site) -> None:
    script = "<script>alert(1)</script>"
    form = filled(town, "script@aster.org", "aster", name=script, postal=f"{script}\n</td>'\"")
    assert send(door, form)[0] == 303
    provider = logged_in(door, "provider")
    for page in ("people", "log"):
        text = provider.get(f"/wardround/{page}").text
        assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in provider.get("/wardround/people").text
    status, page = send(door, form | {"password": "short", "email": f'"><{script}'})
    assert status == 422
    assert "<script" not in page
    for name in ("Ada\u202eHart", "Ada\x00Hart", "A" * 121, ""):
        assert (
            send(door, form | {"name": name, "email": "odd@aster.org"}, door.client(f"198.51.100.{len(name)}"))[0]
            == 422
        )


@pytest.mark.parametrize(
    "path",
    ["../../app.py", "..%2f..%2fapp.py", "%2e%2e/%2e%2e/app.py", "....//app.py", "/etc/passwd", "..\\..\\app.py"],
)
@attack(
    by="stranger",
    to="learn",
    tries="to read the console's files by paths that lead out of its folder",
    costs="nothing",
    seen="nothing",
)
def test_a_path_out_of_the_folder_leads_nowhere(door: Portal, path: str) -> None:
    answer = door.client().get(f"/wardround/static/{path}")
    assert answer.status_code in (404, 303), "the client may have resolved the path itself"
    assert "create_app" not in answer.text
    routes = [
        route.path
        for route in door.console.routes
        if isinstance(route, APIRoute) and "GET" in route.methods and "{" in route.path
    ]
    assert "/rounds/{number}" in routes
    for login in ("provider", "auditor", "hospital-aster"):
        client = logged_in(door, login)
        for route in routes:
            answer = client.get("/wardround" + re.sub(r"{\w+(:\w+)?}", lambda _: path, route))
            assert answer.status_code in (
                403,
                404,
                405,
                409,
                422,
            ), f"{login}: {route} with {path}: {answer.status_code}"
            assert "create_app" not in answer.text
            assert "root:" not in answer.text


@attack(
    by="stranger",
    to="learn",
    tries="to find out who has an account, or take one over by registering again",
    costs="nothing",
    seen="nothing",
)
def test_a_taken_address_is_answered_like_a_new_one(door: Portal, town: Site) -> None:
    member(door, town, "taken@aster.org")
    again = filled(
        town, "taken@aster.org", "aster", password="an attacker's password", password_again="an attacker's password"
    )
    assert send(door, again) == (303, "/wardround/registered")
    assert door.log_in("taken@aster.org", "an attacker's password") is None
    assert door.log_in("taken@aster.org") is not None


@attack(
    by="stranger",
    to="delay",
    tries="to flood the console with registrations",
    costs="nothing",
    seen="five applications an hour and address",
)
def test_registration_is_limited_by_address_and_in_all(
    door: Portal, town: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiting, "REGISTRATIONS_ALL", limiting.parse("12/hour"))

    def tries(address: str) -> list[int]:
        return [send(door, {}, door.client(address))[0] for _ in range(7)]

    assert tries("203.0.113.1") == [422] * 5 + [429] * 2
    assert tries("203.0.113.2") == [422] * 5 + [429] * 2
    assert tries("203.0.113.3") == [422] * 2 + [429] * 5


@attack(
    by="stranger",
    to="change",
    tries="to have somebody's browser send a form (CSRF)",
    costs="nothing",
    seen="nothing: 403",
)
def test_a_visitors_form_is_refused_without_its_own_cookie(door: Portal, town: Site) -> None:
    form = filled(town, "visitor@aster.org", "aster")
    one = door.client()
    other = door.client("192.0.2.9")
    token = _token(one.get("/wardround/register").text)
    other.get("/wardround/register")
    for client in (other, door.client("192.0.2.10")):
        assert client.post("/wardround/register", data=form | {"csrf_token": token}).status_code == 403
    cookie = one.get("/wardround/register").headers["set-cookie"]
    assert "SameSite=strict" in cookie
    assert "HttpOnly" in cookie
    assert accounts().find("visitor@aster.org") is None


def test_a_person_changes_their_own_data_and_password(
    door: Portal, town: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = member(door, town, "moves@aster.org")
    assert send(door, filled(town, "stays@aster.org", "aster"))[0] == 303
    page = client.get("/wardround/profile").text
    assert town.members.hospital(HospitalName("aster")) in page
    assert "authorised" in page
    assert post(client, "/wardround/profile/details", email="stays@aster.org", postal="2 Ward Lane")[0] == 422
    assert (
        post(client, "/wardround/profile/details", email="moved@aster.org", postal="2 Ward Lane")[1]
        == "/wardround/profile?done=details"
    )
    assert door.log_in("moves@aster.org") is None
    new = {"password": "another passphrase", "password_again": "another passphrase"}
    assert post(client, "/wardround/profile/password", old="not my password", **new)[0] == 422
    assert post(client, "/wardround/profile/password", old=PASSWORD, password="short", password_again="short")[0] == 422
    assert post(client, "/wardround/profile/password", old=PASSWORD, **new) == (303, "/wardround/profile?done=password")
    assert door.log_in("moved@aster.org") is None
    assert client.get("/wardround/profile").headers["location"].startswith("/auth/login/"), (
        "whoever knew the old one is out"
    )
    moved = logged_in(door, "moved@aster.org", "another passphrase")
    assert "2 Ward Lane" in moved.get("/wardround/profile").text
    door.console.state.limits = limiting.RateLimits()
    monkeypatch.setattr(limiting, "PASSWORDS", limiting.parse("3/hour"))
    guesses = [post(moved, "/wardround/profile/password", old=f"guess number {n}", **new)[0] for n in range(4)]
    assert guesses == [422] * 3 + [429]


def test_a_hospital_moves_on_to_a_new_key_by_its_persons_password(door: Portal, town: Site) -> None:
    name = HospitalName("juniper")
    before = enrolment.prepare(name, town.settings)
    enrolment.register(name, town.settings)
    person = member(door, town, "keeper@juniper.org", name)
    assert post(person, "/wardround/profile/key", old="not my password")[0] == 422
    assert post(person, "/wardround/profile/key", old=PASSWORD, hospital="aster")[0] == 422
    assert enrolment.prepare(name, town.settings) == before
    assert post(person, "/wardround/profile/key", old=PASSWORD)[1] == "/wardround/profile?done=key"
    after = enrolment.prepare(name, town.settings)
    assert after != before
    assert Consortium.load(town.settings.consortium).hospital(name) == after
    assert [town.ledger.hospital(key) for key in (before, after)] == [HospitalStatus.RETIRED, HospitalStatus.AUTHORISED]


def test_every_action_is_a_line_that_nothing_changes(door: Portal, town: Site) -> None:
    member(door, town, "logged@aster.org")
    auditor = logged_in(door, "auditor")
    actions, total = door.console.state.registry.actions(1, 5)
    assert [(one.who, one.what, one.whom, one.outcome, one.source) for one in actions[:2]] == [
        ("provider", "authorise account", "logged@aster.org", "done", "192.0.2.1"),
        ("a visitor", "register", "logged@aster.org of aster", "done", "192.0.2.1"),
    ]
    assert "logged@aster.org of aster" in auditor.get("/wardround/log").text
    door.client().post("/wardround/profile/details", data={"email": "nobody@aster.org"})
    assert door.console.state.registry.actions(1, 1)[1] == total, "nobody could fill the log"
    post(auditor, "/wardround/people/1/suspend")
    assert door.console.state.registry.actions(1, 1)[0][0].outcome == "refused (403)"
    for page in ("/wardround/log?page=2", "/wardround/log?page=999"):
        assert auditor.get(page).status_code == 200
    with sqlite3.connect(town.settings.home / "console" / "people.db") as file:
        for change in ("UPDATE actions SET who = 'somebody else'", "DELETE FROM actions"):
            with pytest.raises(sqlite3.IntegrityError, match="only added to"):
                file.execute(change)


def test_a_hospital_that_took_another_key_meanwhile_is_asked_again(door: Portal, town: Site) -> None:
    assert send(door, filled(town, "late@cedar.org", "cedar"))[0] == 303
    before = Consortium.load(town.settings.consortium)
    before.with_hospital(HospitalName("cedar"), identity.create(town.settings.home / "elsewhere").address).save(
        town.settings.consortium
    )
    try:
        status, page = post(
            logged_in(door, "provider"), f"/wardround/people/{account('late@cedar.org').number}/authorise"
        )
    finally:
        before.save(town.settings.consortium)
    assert (status, "not of one hospital" in page) == (422, True)
    assert account("late@cedar.org").state == "waiting"


def test_where_the_providers_key_is_elsewhere_the_page_gives_the_command(door: Portal, town: Site) -> None:
    settings = door.console.state.index.settings
    key = settings.provider / "signing-key"
    hidden = key.rename(key.with_name("hidden"))
    try:
        page = logged_in(door, "provider").get("/wardround/people").text
    finally:
        hidden.rename(key)
    assert "wardround enrol authorise ADDRESS" in page
    assert "Revoke on the ledger" not in page


def test_a_word_for_a_person_holds_on_one_ledger(town: Site) -> None:
    name = HospitalName("aster")
    where = town.members.ledger
    address, signature = enrolment.vouch(name, "ada@aster.org", town.settings)
    enrolment.check_vouch(name, "ada@aster.org", address, signature, {}, where)
    with pytest.raises(EvidenceRejected, match="want one by"):
        enrolment.check_vouch(
            name, "ada@aster.org", address, signature, {}, where.model_copy(update={"chain_id": where.chain_id + 1})
        )
    with pytest.raises(Refused, match="unknown on the ledger"):
        enrolment.authorise(identity.create(town.settings.home / "stranger").address, replace(town.settings))


def test_fabs_own_pages_give_our_people_nothing(door: Portal, town: Site) -> None:
    member(door, town, "curious@aster.org")
    member(door, town, "curious@yarrow.org", NEW)
    assert door.manager.flask_app is not None
    browser = door.manager.flask_app.test_client()
    page = browser.get("/login/").get_data(as_text=True)
    assert "Register" not in page, "FAB's own registration is off"
    with door.manager.flask_app.app_context():
        fab = door.manager.security_manager
        for login in ("curious@aster.org", "curious@yarrow.org", "hospital-aster", "auditor", "provider"):
            held = {
                (one.action.name, one.resource.name) for role in fab.find_user(login).roles for one in role.permissions
            }
            assert not [
                one
                for one in held
                if one[1] in ("Connections", "Variables", "Users", "Roles", "Configurations", "Passwords")
            ]
            assert not held & {("can_edit", "My Password"), ("can_edit", "My Profile")}
            assert ("can_read", "Plugins") in held, "Airflow's menu has the console"
            if login != "provider":
                assert {action for action, _ in held} == {"can_read", "menu_access"}
