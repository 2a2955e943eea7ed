"""Forms that only our own pages can send: a token signed for the session and the person, in a hidden field."""

from __future__ import annotations

from typing import Annotated

from airflow.configuration import conf
from fastapi import Depends, Form, HTTPException, status
from itsdangerous import BadSignature, URLSafeTimedSerializer

from plugins.console.access import current_person
from plugins.console.people import Person

FIELD = "csrf_token"
_LONGEST_SECONDS = 8 * 3600


def token(login: str) -> str:
    """A token for the forms of the pages that `login` is shown."""
    return _serializer().dumps(login)


def check(value: str, login: str) -> None:
    """403 unless `value` was made for this person within the last hours."""
    try:
        holds = _serializer().loads(value, max_age=_LONGEST_SECONDS) == login
    except BadSignature:
        holds = False
    if not holds:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This form was not sent from a current page of yours; open the page again.")


def _own_form(who: Annotated[Person, Depends(current_person)], csrf_token: Annotated[str, Form()] = "") -> None:
    check(csrf_token, who.login)


OwnForm = Depends(_own_form)
"""In `dependencies` of every endpoint that changes something."""


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(conf.get_mandatory_value("api", "secret_key"), salt="wardround-console-form")
