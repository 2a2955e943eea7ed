"""How often somebody may try what costs work or could be guessed.

Counted in this process, of which an installation has one.
"""

from __future__ import annotations

from fastapi import HTTPException, Request, status
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

REGISTRATIONS_EACH = parse("5/hour")
REGISTRATIONS_ALL = parse("60/hour")
PASSWORDS = parse("10/hour")


class RateLimits:
    """Moving windows per action and per whoever tries."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def registration(self, request: Request) -> None:
        """429 when this network address, or all together, register too often."""
        allowed = self._limiter.hit(REGISTRATIONS_EACH, "register", source(request))
        if not allowed or not self._limiter.hit(REGISTRATIONS_ALL, "register"):
            raise HTTPException(
                status.HTTP_429_TOO_MANY_REQUESTS, "There were too many registrations lately; try again in an hour."
            )

    def password(self, login: str) -> None:
        """429 when an account's password was tried too often."""
        if not self._limiter.hit(PASSWORDS, "password", login):
            raise HTTPException(
                status.HTTP_429_TOO_MANY_REQUESTS, "This account's password was tried too often; try again in an hour."
            )


def source(request: Request) -> str:
    """The network address that a request came from."""
    return request.client.host if request.client else "unknown"
