"""What endpoints share, as parameters of theirs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from plugins.console.accounts import Accounts
from plugins.console.console_database import ConsoleDatabase
from plugins.console.limiting import RateLimits
from plugins.console.round_cache import RoundCache


def _index(request: Request) -> RoundCache:
    index: RoundCache = request.app.state.index
    return index


Rounds = Annotated[RoundCache, Depends(_index)]
"""The rounds of this installation; `.evidence` reads ledger and store, `.settings` says where things lie."""


def _accounts(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.accounts
    return accounts


def _registry(request: Request) -> ConsoleDatabase:
    registry: ConsoleDatabase = request.app.state.registry
    return registry


def _limits(request: Request) -> RateLimits:
    limits: RateLimits = request.app.state.limits
    return limits


Directory = Annotated[Accounts, Depends(_accounts)]
"""Everybody's accounts."""
People = Annotated[ConsoleDatabase, Depends(_registry)]
"""What people said of themselves, and the log of all that was done."""
Pace = Annotated[RateLimits, Depends(_limits)]
"""How often somebody may try."""


def concerns(request: Request, whom: str) -> None:
    """Name, for the log, whom or what an action is about; without it the log has the path's own values."""
    request.state.whom = whom
