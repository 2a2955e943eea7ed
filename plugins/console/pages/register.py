"""Registration, for a hospital's people.

Open to everybody, and of no effect until the service provider authorises it.
"""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.errors import EvidenceRejected
from pipeline.governance import enrolment
from pipeline.site.consortium import Consortium
from plugins.console import csrf, forms, hospitals
from plugins.console.console_database import Registration
from plugins.console.csrf import VisitorsForm
from plugins.console.dependencies import Directory, Pace, People, Rounds, concerns
from plugins.console.page import render

router = APIRouter()

Text = Annotated[str, Form()]


class _Given:
    """What somebody typed; a refused form comes back with it, but for the passwords."""

    def __init__(
        self,
        name: Text = "",
        email: Text = "",
        postal: Text = "",
        hospital: Text = "",
        address: Text = "",
        signature: Text = "",
    ) -> None:
        self.name = name
        self.email = email
        self.postal = postal
        self.hospital = hospital.strip()
        self.address = address.strip()
        self.signature = signature.strip()


Given = Annotated[_Given, Depends()]


def _pace(request: Request, limits: Pace) -> None:
    limits.registration(request)


@router.get("/register")
def register_form(request: Request) -> HTMLResponse:
    """The empty form."""
    return _form(request, _Given())


@router.post("/register", dependencies=[Depends(_pace), VisitorsForm])
def register(
    request: Request,
    index: Rounds,
    accounts: Directory,
    people: People,
    given: Given,
    password: Text = "",
    password_again: Text = "",
) -> Response:
    """Make an account that waits; a taken e-mail address is answered like a new one."""
    concerns(request, f"{given.email} of {given.hospital}")
    try:
        person = forms.line(given.name, "Your name")
        login = forms.email(given.email)
        home = forms.postal(given.postal)
        where = enrolment.hospital_name(given.hospital)
        key = enrolment.signing_address(given.address)
        addresses = hospitals.signing_addresses(index.settings, accounts, people)
        enrolment.check_vouch(
            where, login, key, given.signature, addresses, Consortium.load(index.settings.consortium).ledger
        )
        secret = forms.password(password, password_again)
    except EvidenceRejected as error:
        return _form(request, given, str(error))
    if (account := accounts.register(login, person, secret)) is not None:
        people.keep(Registration(account.number, account.login, where, key, home, int(time.time())))
    return RedirectResponse(f"{request.scope.get('root_path', '')}/registered", 303)


@router.get("/registered")
def registered(request: Request) -> HTMLResponse:
    """What happens next."""
    return render(request, "registered", None)


def _form(request: Request, given: _Given, trouble: str = "") -> HTMLResponse:
    cookie, token = csrf.visit()
    content = {"given": given, "trouble": trouble, "visitor_token": token, "shortest": forms.SHORTEST_PASSWORD}
    page = render(request, "register", None, status=422 if trouble else 200, **content)
    csrf.remember(request, page, cookie)
    return page
