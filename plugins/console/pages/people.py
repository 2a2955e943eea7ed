"""The provider's list of people and hospitals.

Who waits, who may log in, and which hospital may take part on the ledger.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from pipeline.airflow.accounts import Role
from pipeline.chain.ledger import HospitalStatus
from pipeline.domain import Address, HospitalName
from pipeline.errors import Refused
from pipeline.governance import enrolment
from pipeline.site.installation import Installation
from pipeline.store.usage import usage
from plugins.console import hospitals, studies
from plugins.console.access import Provider
from plugins.console.accounts import Account, Accounts, State
from plugins.console.console_database import ConsoleDatabase, Registration
from plugins.console.csrf import OwnForm
from plugins.console.dependencies import Directory, People, Rounds, concerns
from plugins.console.page import Link, render

router = APIRouter()
LINK = Link(130, "People", "/people", (Role.PROVIDER,))

_USAGE_SECONDS = 2.0

AccountNumber = Annotated[int, Path(ge=1, lt=2**31, description="Number of an account.")]
HospitalPath = Annotated[str, Path(max_length=32, description="A hospital's name.")]


def _address(index: Rounds, accounts: Directory, registry: People, hospital: HospitalPath) -> Address:
    return hospitals.address(hospital, index.settings, accounts, registry)


SigningAddress = Annotated[Address, Depends(_address)]
"""Of the path's hospital; 404 where the console knows none of that name."""


@router.get("/people")
def people(request: Request, who: Provider, index: Rounds, accounts: Directory, registry: People) -> HTMLResponse:
    """Everybody, those who wait first."""
    everybody = accounts.all()
    said = {(one.account, one.login): one for one in registry.registrations()}
    rows = [(account, said.get((account.number, account.login))) for account in everybody]
    rows.sort(key=lambda row: (list(State).index(row[0].state), row[0].number))
    listed, trouble = hospitals.with_statuses(index.settings, accounts, registry)
    here = hospitals.provider_is_here(index.settings)
    named = {hospital for study in studies.readable(index.settings) for hospital in study.hospitals}
    return render(
        request,
        "people",
        who,
        rows=rows,
        hospitals=listed,
        trouble=trouble,
        here=here,
        named=named,
        usage=usage(index.observer.store, _USAGE_SECONDS),
        quota=Installation.load(index.settings.installation).quota,
    )


@router.post("/people/{account}/authorise", dependencies=[OwnForm])
def authorise_account(
    request: Request, who: Provider, index: Rounds, accounts: Directory, registry: People, account: AccountNumber
) -> RedirectResponse:
    """Bind a waiting account to its hospital, and let the hospital in where its own account stands on the ledger."""
    subject, said = _account_and_registration(request, accounts, registry, account)
    if said is None:
        raise Refused(f"{subject.login}: got an account without a hospital; only who registered here can be authorised")
    settings = index.settings
    enrolment.check_claim(said.hospital, said.address, hospitals.signing_addresses(settings, accounts, registry))
    standing = enrolment.statuses([said.address], settings)[said.address]
    accounts.authorise(account, said.hospital)
    # A revoked hospital stays out: whoever lets it in again does that by its own button.
    if standing in (HospitalStatus.REGISTERED, HospitalStatus.AUTHORISED) and hospitals.provider_is_here(settings):
        hospitals.let_in(said.hospital, said.address, settings)
    return _back(request)


@router.post("/people/{account}/suspend", dependencies=[OwnForm])
def suspend_account(
    request: Request, who: Provider, accounts: Directory, registry: People, account: AccountNumber
) -> RedirectResponse:
    """End somebody's sessions; the hospital on the ledger stays as it is."""
    subject, _ = _account_and_registration(request, accounts, registry, account)
    if subject.login == who.login:
        raise Refused("You cannot suspend your own account: nobody could readmit you.")
    accounts.suspend(account)
    return _back(request)


@router.post("/people/{account}/readmit", dependencies=[OwnForm])
def readmit_account(
    request: Request, who: Provider, accounts: Directory, registry: People, account: AccountNumber
) -> RedirectResponse:
    """Let a suspended person log in again."""
    _account_and_registration(request, accounts, registry, account)
    accounts.readmit(account)
    return _back(request)


@router.post("/hospitals/{hospital}/authorise", dependencies=[OwnForm])
def authorise_hospital(
    request: Request, who: Provider, index: Rounds, hospital: HospitalPath, address: SigningAddress
) -> RedirectResponse:
    """Authorise a hospital that registered its own account, or was revoked.

    From the next round on it takes part in the studies that name it.
    """
    hospitals.let_in(HospitalName(hospital), address, index.settings)
    return _back(request)


@router.post("/hospitals/{hospital}/revoke", dependencies=[OwnForm])
def revoke_hospital(request: Request, who: Provider, index: Rounds, address: SigningAddress) -> RedirectResponse:
    """Take a hospital out of all later rounds; its people can still log in."""
    enrolment.revoke(address, index.settings)
    return _back(request)


def _account_and_registration(
    request: Request, accounts: Accounts, registry: ConsoleDatabase, number: int
) -> tuple[Account, Registration | None]:
    account = accounts.get(number)
    concerns(request, account.login)
    return account, registry.registration(number, account.login)


def _back(request: Request) -> RedirectResponse:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/people", 303)
