"""The hospitals that the console knows.

Those of the members' file, and those of people whom the provider authorised.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.chain.ledger import HospitalStatus
from pipeline.domain import Address, HospitalName
from pipeline.errors import Unavailable
from pipeline.governance import enrolment
from pipeline.site.consortium import Consortium
from pipeline.site.settings import Settings
from plugins.console.accounts import Accounts, State, UnknownAccount
from plugins.console.console_database import ConsoleDatabase


@dataclass(frozen=True)
class KnownHospital:
    """A hospital and where its account stands on the ledger; None while the ledger does not answer."""

    name: HospitalName
    address: Address
    status: HospitalStatus | None
    member: bool
    """Whether the members' file names it, so that a study can."""


def signing_addresses(
    settings: Settings, accounts: Accounts, registry: ConsoleDatabase
) -> Mapping[HospitalName, Address]:
    """Every hospital's signing address.

    The members' file, which follows a hospital's new keys, comes before what people said at their registration.
    """
    addresses = {name: Address(address) for name, address in Consortium.load(settings.consortium).hospitals.items()}
    said = {(one.account, one.login): one for one in registry.registrations()}
    for account in accounts.all() if said else ():
        one = said.get((account.number, account.login))
        if one is not None and account.state is not State.WAITING:
            addresses.setdefault(one.hospital, one.address)
    return addresses


def address(name: str, settings: Settings, accounts: Accounts, registry: ConsoleDatabase) -> Address:
    """One hospital's signing address; raises UnknownHospital."""
    key = signing_addresses(settings, accounts, registry).get(HospitalName(name))
    if key is None:
        raise UnknownHospital(f"hospital {name}: there is none of that name")
    return key


def with_statuses(
    settings: Settings, accounts: Accounts, registry: ConsoleDatabase
) -> tuple[Sequence[KnownHospital], str]:
    """All hospitals with their status on the ledger, and why the ledger does not say it where that is so."""
    members = Consortium.load(settings.consortium).hospitals
    addresses = signing_addresses(settings, accounts, registry)
    statuses, trouble = standings(addresses.values(), settings)
    return [
        KnownHospital(name, key, statuses.get(key), name in members) for name, key in sorted(addresses.items())
    ], trouble


def standings(keys: Iterable[Address], settings: Settings) -> tuple[Mapping[Address, HospitalStatus], str]:
    """Where accounts stand on the ledger, or why that is not known."""
    try:
        return enrolment.statuses(keys, settings), ""
    except Unavailable as error:
        return {}, str(error)


def let_in(name: HospitalName, address: Address, settings: Settings) -> None:
    """Authorise a hospital on the ledger, and name it in the provider's members' file; does only what is missing."""
    enrolment.authorise(address, settings)
    enrolment.admit(name, address, settings)


def provider_is_here(settings: Settings) -> bool:
    """Whether the provider's key lies on this machine, so that the console can send its transactions."""
    return (settings.provider / "signing-key").exists()


class UnknownHospital(UnknownAccount):
    """There is no hospital of that name."""
