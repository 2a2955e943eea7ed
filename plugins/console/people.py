"""Who asks: a role, and for a hospital's people the hospital, both from the account's Airflow role alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.airflow.accounts import HOSPITAL_PREFIX, Role
from pipeline.domain import HospitalName


@dataclass(frozen=True)
class Person:
    """Somebody who logged in."""

    login: str
    role: Role
    hospital: HospitalName | None = None
    """Set for the role Hospital, and for it alone."""


def person(login: str, roles: Iterable[str]) -> Person | None:
    """The person of an account with these Airflow roles; None unless exactly one of them is the console's."""
    persons = [role for role in (_parse(login, name) for name in roles) if role is not None]
    return persons[0] if len(persons) == 1 else None


def _parse(login: str, role: str) -> Person | None:
    if role.startswith(HOSPITAL_PREFIX):
        return Person(login, Role.HOSPITAL, HospitalName(role.removeprefix(HOSPITAL_PREFIX)))
    return Person(login, Role(role)) if role in (Role.PROVIDER, Role.AUDITOR) else None
