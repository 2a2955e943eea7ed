"""A person's own page: what the console knows of them, their password, and their hospital's key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.errors import EvidenceRejected, Refused
from plugins.console import forms, hospitals
from plugins.console.access import Anyone
from plugins.console.accounts import Account, Accounts
from plugins.console.csrf import OwnForm
from plugins.console.page import render
from plugins.console.people import Person
from plugins.console.registry import Registry
from plugins.console.rounds import RoundIndex
from plugins.console.state import Directory, Pace, People, Rounds, concerns

router = APIRouter()

Text = Annotated[str, Form()]


@router.get("/profile")
def profile(request: Request, who: Anyone, index: Rounds, accounts: Directory, registry: People, done: str = "") -> HTMLResponse:
    """The person's own data."""
    return _page(request, who, index, accounts, registry, done=done)


@router.post("/profile/details", dependencies=[OwnForm])
def change_details(
    request: Request, who: Anyone, index: Rounds, accounts: Directory, registry: People, email: Text = "", postal: Text = ""
) -> Response:
    """Another e-mail address, which may be the login, or postal address."""
    account = _own(accounts, who)
    concerns(request, account.login)
    said = registry.registration(account.number, account.login)
    try:
        home = forms.postal(postal) if said else ""
        changed = accounts.change_email(account.number, forms.email(email)) if email != account.email else account
    except (EvidenceRejected, Refused) as error:
        return _page(request, who, index, accounts, registry, trouble=str(error), status=422)
    if said:
        registry.change(account.number, account.login, new_login=changed.login, postal=home)
    return _back(request, "details")


@router.post("/profile/password", dependencies=[OwnForm])
def change_password(
    request: Request,
    who: Anyone,
    index: Rounds,
    accounts: Directory,
    registry: People,
    limits: Pace,
    old: Text = "",
    password: Text = "",
    password_again: Text = "",
) -> Response:
    """Another password, for whoever knows the present one."""
    account = _own(accounts, who)
    concerns(request, account.login)
    limits.password(who.login)
    try:
        if not accounts.change_password(account.number, old, forms.password(password, password_again)):
            raise EvidenceRejected("The present password is another one.")
    except EvidenceRejected as error:
        return _page(request, who, index, accounts, registry, trouble=str(error), status=422)
    return _back(request, "password")


def _own(accounts: Accounts, who: Person) -> Account:
    account = accounts.find(who.login)
    if account is None:
        raise Refused(f"{who.login}: the account is gone; log in again")
    return account


def _page(
    request: Request,
    who: Person,
    index: RoundIndex,
    accounts: Accounts,
    registry: Registry,
    *,
    done: str = "",
    trouble: str = "",
    status: int = 200,
) -> HTMLResponse:
    account = _own(accounts, who)
    key = hospitals.known(index.settings, accounts, registry).get(who.hospital) if who.hospital else None
    standings, silent = hospitals.standings([key] if key else [], index.settings)
    content = {
        "account": account,
        "said": registry.registration(account.number, account.login),
        "key": key,
        "standing": standings.get(key) if key else None,
        "silent": silent,
        "done": {"details": "Your details were changed.", "password": "Your password was changed."}.get(done, ""),
        "trouble": trouble,
        "shortest": forms.SHORTEST_PASSWORD,
    }
    return render(request, "profile", who, status=status, **content)


def _back(request: Request, done: str) -> RedirectResponse:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/profile?done={done}", 303)
