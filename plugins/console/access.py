"""Who may ask for what: each endpoint takes one of these as a parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, HTTPException, Request, status

from pipeline.airflow.accounts import Role
from plugins.console.people import Person, person


def current_person(request: Request, user: GetUserDep) -> Person:
    """The person behind Airflow's session.

    401 without one, 403 when the account has no role of the console, or more than one.
    """
    who = person(user.get_name(), [role.name for role in user.roles])
    if who is None:
        raise HTTPException(
            status.HTTP_403_FORBIDDEN, "This account has no part in the consortium; ask the service provider."
        )
    return entered(request, who)


def entered(request: Request, who: Person) -> Person:
    """Note in the request who asks, for the log."""
    request.state.who = who
    return who


def _only(*roles: Role) -> Callable[[Person], Person]:
    def check(who: Annotated[Person, Depends(current_person)]) -> Person:
        if who.role not in roles:
            wanted = " or ".join(role.value.lower() for role in roles)
            raise HTTPException(
                status.HTTP_403_FORBIDDEN, f"This page is for the {wanted}; you are logged in as {who.login}."
            )
        return who

    return check


Anyone = Annotated[Person, Depends(current_person)]
"""Everybody with a role of the console."""
Provider = Annotated[Person, Depends(_only(Role.PROVIDER))]
Hospital = Annotated[Person, Depends(_only(Role.HOSPITAL))]
Auditor = Annotated[Person, Depends(_only(Role.AUDITOR))]
Watcher = Annotated[Person, Depends(_only(Role.PROVIDER, Role.AUDITOR))]
"""Whoever watches over the consortium."""
