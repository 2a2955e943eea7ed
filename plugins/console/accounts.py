"""Accounts as Airflow's FAB security manager keeps them.

It alone hashes and checks passwords, and says who is active with which role.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from airflow import settings as airflow_settings
from airflow.api_fastapi.app import get_auth_manager
from sqlalchemy.exc import IntegrityError

from pipeline.airflow.accounts import Role, hospital_role, permissions
from pipeline.domain import HospitalName
from pipeline.errors import Misconfigured, Refused
from plugins.console.auth_manager import ConsoleFabAuthManager
from plugins.console.people import Person, person


class State(StrEnum):
    """Where an account stands."""

    WAITING = "waiting"
    AUTHORISED = "authorised"
    SUSPENDED = "suspended"


@dataclass(frozen=True)
class Account:
    """One account; `number` is FAB's own id."""

    number: int
    login: str
    name: str
    email: str
    roles: tuple[str, ...]
    active: bool

    @property
    def state(self) -> State:
        """Whoever has no role yet waits for the provider, and cannot log in."""
        if not self.roles:
            return State.WAITING
        return State.AUTHORISED if self.active else State.SUSPENDED

    @property
    def person(self) -> Person | None:
        """Who the account is in the console."""
        return person(self.login, self.roles)


class UnknownAccount(Refused):
    """There is no account of that number."""


class Accounts:
    """Every method raises Misconfigured where the API server has another auth manager than FAB."""

    def all(self) -> Sequence[Account]:
        """Everybody, oldest account first."""
        with _fab() as fab:
            return sorted((_account(user) for user in fab.get_all_users()), key=lambda account: account.number)

    def get(self, number: int) -> Account:
        """One account; raises UnknownAccount."""
        with _fab() as fab:
            return _account(_user(fab, number))

    def find(self, login: str) -> Account | None:
        """The account of a login."""
        with _fab() as fab:
            user = fab.find_user(username=login)
            return _account(user) if user else None

    def register(self, email: str, name: str, password: str) -> Account | None:
        """A waiting account whose login is its e-mail address; None when that is taken, after the same work."""
        with _fab() as fab:
            # Not `add_user`: that one makes accounts that are active at once.
            user = fab.user_model(username=email, email=email, first_name=name, last_name="", active=False)
            user.password = fab._hash_password(password)
            fab.session.add(user)
            try:
                fab.session.commit()
            except IntegrityError:
                fab.session.rollback()
                return None
            return _account(user)

    def authorise(self, number: int, hospital: HospitalName) -> None:
        """Make a waiting account one of the hospital's; raises Refused when it does not wait."""
        with _fab() as fab:
            user = _user(fab, number)
            if _account(user).state is not State.WAITING:
                raise Refused(f"account {number}: got one that was authorised before; suspend or readmit it")
            role = fab.find_role(hospital_role(hospital)) or fab.add_role(hospital_role(hospital))
            role.permissions = permissions(fab, Role.HOSPITAL)
            user.roles = [role]
            user.active = True
            _save(fab, user)

    def suspend(self, number: int) -> None:
        """End an account's sessions at their next request, and let it log in no more."""
        self._set_active(number, State.AUTHORISED, active=False)

    def readmit(self, number: int) -> None:
        """Let a suspended account log in again, as who it was."""
        self._set_active(number, State.SUSPENDED, active=True)

    def change_email(self, number: int, email: str) -> Account:
        """Give an account another e-mail address, which is its login too if the old one was.

        Raises Refused when it is taken.
        """
        with _fab() as fab:
            user = _user(fab, number)
            if user.username == user.email:
                user.username = email
            user.email = email
            _save(fab, user, f"{email} cannot be your address here; give another one")
            return _account(user)

    def knows_password(self, number: int, password: str) -> bool:
        """Whether this is the account's present password."""
        with _fab() as fab:
            return bool(fab.check_password(_user(fab, number).username, password))

    def change_password(self, number: int, old: str, new: str) -> bool:
        """Set a new password and end all of the account's sessions; False unless the old one is right."""
        with _fab() as fab:
            user = _user(fab, number)
            if not fab.check_password(user.username, old):
                return False
        # Before: where sessions cannot be ended, the password stays. After: who came in by the old one meanwhile goes
        # too.
        _manager().end_sessions(number)
        with _fab() as fab:
            if not fab.reset_password(number, new):
                raise Refused(f"account {number}: the new password could not be stored; try again")
        _manager().end_sessions(number)
        return True

    def _set_active(self, number: int, wanted: State, *, active: bool) -> None:
        if (state := self.get(number).state) is not wanted:
            raise Refused(f"account {number}: got one that is {state}, want one that is {wanted}")
        # Before either change: tokens of before a suspension are none of the readmitted account's.
        _manager().end_sessions(number)
        with _fab() as fab:
            user = _user(fab, number)
            user.active = active
            _save(fab, user)


@contextmanager
def _fab() -> Iterator[Any]:
    """FAB's security manager with its Flask application around it; its database session ends with the block."""
    manager = _manager()
    with manager.flask_app.app_context():
        try:
            yield manager.security_manager
        finally:
            airflow_settings.Session.remove()


def _manager() -> Any:
    """The auth manager; raises Misconfigured unless it is the console's."""
    try:
        manager = get_auth_manager()
    except RuntimeError:  # there is none: the console runs without Airflow's API server around it
        manager = None
    if not isinstance(manager, ConsoleFabAuthManager) or manager.flask_app is None:
        raise Misconfigured(
            "Airflow's auth manager: got none with accounts, want plugins.console.auth_manager; `wardround up`"
            " configures it"
        )
    return manager


def _user(fab: Any, number: int) -> Any:
    user = fab.get_user_by_id(number)
    if user is None:
        raise UnknownAccount(f"account {number}: there is none of that number")
    return user


def _save(fab: Any, user: Any, trouble: str = "the account could not be stored; try again") -> None:
    number = user.id
    if not fab.update_user(user):
        raise Refused(trouble)
    # Airflow remembers who a session's token stands for, for half a minute.
    get_auth_manager().cache.pop(number, None)


def _account(user: Any) -> Account:
    name = f"{user.first_name} {user.last_name}".strip()
    return Account(user.id, user.username, name, user.email, tuple(role.name for role in user.roles), bool(user.active))
