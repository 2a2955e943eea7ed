"""Airflow's FAB auth manager with sessions that end.

A logout, a suspension or another password ends all of an account's.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from jwt.exceptions import InvalidTokenError

from pipeline.site.settings import Settings
from plugins.console.console_database import ConsoleDatabase

_CLAIM = "sessions_ended"


class ConsoleFabAuthManager(FabAuthManager):  # type: ignore[misc]
    """FAB's manager, with tokens that carry how often their account's sessions had been ended.

    FAB's own name only the account, and would be valid again as soon as a suspended account is.
    """

    @cached_property
    def registry(self) -> ConsoleDatabase:
        """Where that is counted."""
        return ConsoleDatabase(Settings.load().home / "console")

    def serialize_user(self, user: Any) -> dict[str, Any]:
        """What a token says of its account."""
        return {**super().serialize_user(user), _CLAIM: self.registry.sessions_ended(user.id)}

    def deserialize_user(self, token: dict[str, Any]) -> Any:
        """The account of a token; raises ValueError when the session has ended."""
        if token.get(_CLAIM) != self.registry.sessions_ended(int(token["sub"])):
            raise ValueError(f"the sessions of user {token['sub']} were ended")
        return super().deserialize_user(token)

    def revoke_token(self, token: str) -> None:
        """Log the token's account out.

        Airflow's logout forgets this token alone, and its login page gives the next for an old cookie.
        """
        super().revoke_token(token)
        try:
            claims = self._get_token_validator().validated_claims(token)
        except InvalidTokenError:
            return  # forged, or expired by itself
        account = int(claims["sub"])
        if claims.get(_CLAIM) == self.registry.sessions_ended(account):  # who holds an old token logs nobody out
            self.end_sessions(account)

    def end_sessions(self, account: int) -> None:
        """End every session that the account has anywhere."""
        self.registry.end_sessions(account)
        self.cache.pop(account, None)
        with self.flask_app.app_context():
            if user := self.security_manager.get_user_by_id(account):
                self.security_manager.reset_user_sessions(user)
