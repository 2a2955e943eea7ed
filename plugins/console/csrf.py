"""Forms that only our own pages can send.

A token signed for the person, or for a visitor's cookie, in a hidden field.
"""

from __future__ import annotations

import secrets
from typing import Annotated

from airflow.configuration import conf
from fastapi import Cookie, Depends, Form, HTTPException, Request, Response, status
from fastapi.dependencies.utils import get_flat_dependant
from itsdangerous import BadSignature, URLSafeTimedSerializer
from pydantic import BaseModel

from plugins.console.access import current_person
from plugins.console.people import Person

FIELD = "csrf_token"
COOKIE = "wardround_visitor"
_LONGEST_SECONDS = 8 * 3600


def token(login: str) -> str:
    """A token for the forms of the pages that `login` is shown."""
    return _serializer("person").dumps(login)


def check(value: str, login: str) -> None:
    """403 unless `value` was made for this person within the last hours."""
    _check("person", value, login)


def visit() -> tuple[str, str]:
    """A visitor's cookie, and the token that goes with it."""
    cookie = secrets.token_urlsafe(18)
    return cookie, _serializer("visitor").dumps(cookie)


def remember(request: Request, response: Response, cookie: str) -> None:
    """Give a visitor the cookie; no other site's page can have it sent along."""
    secure = request.url.scheme == "https"
    path = request.scope.get("root_path", "") or "/"
    response.set_cookie(
        COOKIE, cookie, max_age=_LONGEST_SECONDS, path=path, secure=secure, httponly=True, samesite="strict"
    )


async def _only_known_fields(request: Request) -> None:
    """422 for a field that the endpoint does not declare: nobody gets a role or a hospital by sending one."""
    allowed = {FIELD}
    for field in get_flat_dependant(request.scope["route"].dependant).body_params:
        kind = field.field_info.annotation
        allowed |= set(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else {field.alias}
    if unknown := sorted(set(await request.form()) - allowed):
        shown = ", ".join(name[:40] for name in unknown[:5])
        raise HTTPException(
            status.HTTP_422_UNPROCESSABLE_CONTENT, f"The form has fields that this page has not: {shown}."
        )


def _own_form(who: Annotated[Person, Depends(current_person)], csrf_token: Annotated[str, Form()] = "") -> None:
    check(csrf_token, who.login)


def _visitors_form(
    request: Request, csrf_token: Annotated[str, Form()] = "", wardround_visitor: Annotated[str, Cookie()] = ""
) -> None:
    request.state.visitor = True  # for the log: one whom the endpoint expects
    _check("visitor", csrf_token, wardround_visitor)


def _own_known_form(_: Annotated[None, Depends(_own_form)], __: Annotated[None, Depends(_only_known_fields)]) -> None:
    """The token first, then the fields."""


def _visitors_known_form(
    _: Annotated[None, Depends(_visitors_form)], __: Annotated[None, Depends(_only_known_fields)]
) -> None:
    """The token first, then the fields."""


OwnForm = Depends(_own_known_form)
"""In `dependencies` of every endpoint that changes something."""
VisitorsForm = Depends(_visitors_known_form)
"""The same for an endpoint that takes a form from somebody who is not logged in."""


def _check(whose: str, value: str, expected: str) -> None:
    try:
        holds = secrets.compare_digest(
            str(_serializer(whose).loads(value, max_age=_LONGEST_SECONDS)).encode(), expected.encode()
        )
    except BadSignature:
        holds = False
    if not holds:
        raise HTTPException(
            status.HTTP_403_FORBIDDEN, "This form was not sent from a current page of yours; open the page again."
        )


def _serializer(whose: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(conf.get_mandatory_value("api", "secret_key"), salt=f"wardround-console-form-{whose}")
