"""The console's own small database.

What people said at registration, how often sessions were ended, and the log of all that was done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert as insert_or_update

from pipeline.domain import Address, HospitalName

_TABLES = MetaData()
_registrations = Table(
    "registrations",
    _TABLES,
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("login", String, nullable=False),
    Column("hospital", String, nullable=False),
    Column("address", String, nullable=False),
    Column("postal", String, nullable=False),
    Column("at", Integer, nullable=False),
)
_sessions = Table(
    "sessions",
    _TABLES,
    Column("account", Integer, primary_key=True, autoincrement=False),
    Column("ended", Integer, nullable=False),
)
_actions = Table(
    "actions",
    _TABLES,
    Column("id", Integer, primary_key=True),
    *(
        Column(name, Integer if name == "at" else String, nullable=False)
        for name in ("at", "who", "what", "whom", "outcome", "source")
    ),
)
_KEEP = tuple(
    f"CREATE TRIGGER IF NOT EXISTS keep_{what} BEFORE {what} ON actions BEGIN SELECT RAISE(ABORT, 'the log is only"
    " added to'); END"
    for what in ("UPDATE", "DELETE")
)


@dataclass(frozen=True)
class Registration:
    """What a person said at registration; `address` is the hospital's, whose key vouched for the person."""

    account: int
    login: str
    hospital: HospitalName
    address: Address
    postal: str
    at: int
    """Seconds, by the server's clock."""


@dataclass(frozen=True)
class Action:
    """One line of the log: who did what on whom, how it ended, when and from where.

    `at` is in seconds by the server's clock.
    """

    who: str
    what: str
    whom: str
    outcome: str
    source: str
    at: int = 0


class ConsoleDatabase:
    """One SQLite file, readable by its owner only; opened when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _engine(self) -> Engine:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / "people.db"
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        engine = create_engine(f"sqlite:///{path}")
        event.listen(engine, "connect", lambda connection, _: connection.execute("pragma synchronous=full"))
        with engine.begin() as connection:
            _TABLES.create_all(connection)
            for trigger in _KEEP:
                connection.execute(text(trigger))
        return engine

    # ------------------------------------------------------------------ people

    def keep(self, registration: Registration) -> None:
        """Keep what somebody said, in the place of what an earlier account of that number had said."""
        with self._engine.begin() as connection:
            connection.execute(delete(_registrations).where(_registrations.c.account == registration.account))
            connection.execute(insert(_registrations).values(**vars(registration)))

    def registration(self, account: int, login: str) -> Registration | None:
        """What the account's holder said; None for those made at set-up."""
        mine = (_registrations.c.account == account) & (_registrations.c.login == login)
        with self._engine.connect() as connection:
            row = connection.execute(select(_registrations).where(mine)).one_or_none()
        return Registration(*row) if row else None

    def registrations(self) -> Sequence[Registration]:
        """Everybody's."""
        with self._engine.connect() as connection:
            return [
                Registration(*row)
                for row in connection.execute(select(_registrations).order_by(_registrations.c.account))
            ]

    def change(self, account: int, login: str, *, new_login: str, postal: str) -> None:
        """Somebody moved, or got another e-mail address; nothing for an account made at set-up."""
        mine = (_registrations.c.account == account) & (_registrations.c.login == login)
        with self._engine.begin() as connection:
            connection.execute(update(_registrations).where(mine).values(login=new_login, postal=postal))

    # ---------------------------------------------------------------- sessions

    def sessions_ended(self, account: int) -> int:
        """How many times all of an account's sessions were ended at once."""
        with self._engine.connect() as connection:
            return (
                connection.execute(select(_sessions.c.ended).where(_sessions.c.account == account)).scalar_one_or_none()
                or 0
            )

    def end_sessions(self, account: int) -> None:
        """Count up, so that no token given out before is one of the account's any longer."""
        counted = insert_or_update(_sessions).values(account=account, ended=1)
        with self._engine.begin() as connection:
            connection.execute(
                counted.on_conflict_do_update(index_elements=["account"], set_={"ended": _sessions.c.ended + 1})
            )

    # ----------------------------------------------------------------- the log

    def log(self, action: Action) -> None:
        """Add a line; its time is now."""
        with self._engine.begin() as connection:
            connection.execute(insert(_actions).values(**{**vars(action), "at": int(time.time())}))

    def actions(self, page: int, size: int) -> tuple[Sequence[Action], int]:
        """A page of the log, newest first, and how many lines there are; pages count from 1."""
        columns = [_actions.c[name] for name in ("who", "what", "whom", "outcome", "source", "at")]
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(*columns).order_by(_actions.c.id.desc()).limit(size).offset((page - 1) * size)
            )
            actions = [Action(*row) for row in rows]
            return actions, int(connection.execute(select(func.count()).select_from(_actions)).scalar_one())
