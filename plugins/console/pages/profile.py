"""A person's own page: what the console knows of them, their password, and their hospital's key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.errors import EvidenceRejected, Refused
from pipeline.governance import keys
from plugins.console import forms, hospitals
from plugins.console import hospital_folder as folders
from plugins.console.access import Anyone, Hospital
from plugins.console.csrf import OwnForm
from plugins.console.dependencies import Directory, Pace, People, Rounds, concerns
from plugins.console.page import render

router = APIRouter()

Text = Annotated[str, Form()]


_DONE = {
    "details": "Your details were changed.",
    "password": "Your password was changed.",
    "key": (
        "The hospital signs with a new key. Every other owner needs the new members' file, and all approve their"
        " studies again."
    ),
}


class _OwnProfile:
    """Who asks, their account and what they said of themselves; every line of the log about it names the account."""

    def __init__(self, request: Request, who: Anyone, index: Rounds, accounts: Directory, registry: People) -> None:
        account = accounts.find(who.login)
        if account is None:
            raise Refused(f"{who.login}: the account is gone; log in again")
        concerns(request, account.login)
        self.request = request
        self.who = who
        self.index = index
        self.accounts = accounts
        self.registry = registry
        self.account = account
        self.said = registry.registration(account.number, account.login)

    def page(self, *, done: str = "", trouble: str = "") -> HTMLResponse:
        """The page, which says what was done or why it was not."""
        settings = self.index.settings
        hospital = self.who.hospital
        key = hospitals.signing_addresses(settings, self.accounts, self.registry).get(hospital) if hospital else None
        standings, silent = hospitals.standings([key] if key else [], settings)
        content = {
            "account": self.account,
            "said": self.said,
            "key": key,
            "standing": standings.get(key) if key else None,
            "silent": silent,
            "here": hospital is not None and folders.folder(settings, self.who) is not None,
            "done": _DONE.get(done, ""),
            "trouble": trouble,
            "shortest": forms.SHORTEST_PASSWORD,
        }
        return render(self.request, "profile", self.who, status=422 if trouble else 200, **content)

    def after(self, done: str) -> RedirectResponse:
        """Back to the page."""
        return RedirectResponse(f"{self.request.scope.get('root_path', '')}/profile?done={done}", 303)


OwnProfile = Annotated[_OwnProfile, Depends()]


@router.get("/profile")
def profile(own_profile: OwnProfile, done: str = "") -> HTMLResponse:
    """The person's own data."""
    return own_profile.page(done=done)


@router.post("/profile/details", dependencies=[OwnForm])
def change_details(own_profile: OwnProfile, email: Text = "", postal: Text = "") -> Response:
    """Another e-mail address, which may be the login, or postal address."""
    account = own_profile.account
    try:
        home = forms.postal(postal) if own_profile.said else ""
        changed = (
            own_profile.accounts.change_email(account.number, forms.email(email)) if email != account.email else account
        )
    except (EvidenceRejected, Refused) as error:
        return own_profile.page(trouble=str(error))
    if own_profile.said:
        own_profile.registry.change(account.number, account.login, new_login=changed.login, postal=home)
    return own_profile.after("details")


@router.post("/profile/password", dependencies=[OwnForm])
def change_password(
    own_profile: OwnProfile, limits: Pace, old: Text = "", password: Text = "", password_again: Text = ""
) -> Response:
    """Another password, for whoever knows the present one."""
    limits.password(own_profile.who.login)
    try:
        if not own_profile.accounts.change_password(
            own_profile.account.number, old, forms.password(password, password_again)
        ):
            raise EvidenceRejected("The present password is another one.")
    except EvidenceRejected as error:
        return own_profile.page(trouble=str(error))
    return own_profile.after("password")


@router.post("/profile/key", dependencies=[OwnForm])
def rotate_key(who: Hospital, own_profile: OwnProfile, limits: Pace, old: Text = "") -> Response:
    """Move the hospital on to a fresh key where its folder lies here, for whoever knows the account's password too."""
    limits.password(who.login)
    name = folders.name(who)
    settings = own_profile.index.settings
    try:
        if not own_profile.accounts.knows_password(own_profile.account.number, old):
            raise EvidenceRejected("The present password is another one.")
        if folders.folder(settings, who) is None:
            raise Refused(f"the folder of {name} is not on this machine; type the command on the hospital's own")
        keys.rotate_hospital_key(name, settings)
    except (EvidenceRejected, Refused) as error:
        return own_profile.page(trouble=str(error))
    return own_profile.after("key")
