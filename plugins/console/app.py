"""The console's web application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from pipeline.errors import ObjectMissing, Refused, Rejected, Unavailable, WardroundError
from pipeline.site.settings import Settings
from plugins.console import uploads
from plugins.console.accounts import Accounts, UnknownAccount
from plugins.console.console_database import Action, ConsoleDatabase
from plugins.console.limiting import RateLimits, source
from plugins.console.page import HERE, render
from plugins.console.pages import MENU, ROUTERS
from plugins.console.people import Person
from plugins.console.round_cache import NoSuchRound, RoundCache

MOUNT = "/wardround"

_MOST_FORM_BYTES = 256 << 10
"""Of a request without files."""

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_NO_PAGE = "This address is none of the console's; the overview leads to every page."
_STATUS = (
    *((UnknownAccount, 404), (NoSuchRound, 404), (ObjectMissing, 404)),
    *((Unavailable, 503), (Refused, 409), (Rejected, 422)),
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; it opens ledger and store at the first page that needs them."""
    app = FastAPI(title="Wardround console", docs_url=None, redoc_url=None, openapi_url=None)
    equip(app, settings)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    for router in ROUTERS:
        app.include_router(router)

    @app.middleware("http")
    async def _bounded(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        # Before a form is read: what is too large must not fill memory or disk first.
        files = _path(request) == uploads.PATH
        most = uploads.MOST_BYTES if files else _MOST_FORM_BYTES
        length = request.headers.get("content-length", "" if "transfer-encoding" in request.headers else "0")
        if length.isdecimal() and int(length) <= most:
            return await answer(request)
        message = "The request does not say how long it is."
        if length.isdecimal():
            what = "files are" if files else "form is"
            message = (
                f"The {what} larger than {most >> 10:,} KiB in all: send less at once, or type the command on the"
                " hospital's machine."
            )
        return render(request, "error", None, status=413, title="That is too large", message=message)

    @app.middleware("http")
    async def _secure(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await answer(request)
        if (action := _action(request, response.status_code)) is not None:
            await run_in_threadpool(request.app.state.registry.log, action)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)  # a stored report brings a stricter policy of its own
        if _path(request).startswith("/static/"):
            response.headers["Cache-Control"] = "public, max-age=300"
        return response

    @app.exception_handler(WardroundError)
    async def _trouble(request: Request, error: WardroundError) -> Response:
        code = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        title = {404: "There is no such page", 503: "A service does not answer"}.get(code, "That did not work")
        return render(request, "error", _who(request), status=code, title=title, message=str(error))

    @app.exception_handler(RequestValidationError)
    async def _malformed(request: Request, error: RequestValidationError) -> Response:
        fields = ", ".join(sorted({str(one["loc"][-1]) for one in error.errors()}))
        return render(
            request,
            "error",
            _who(request),
            status=422,
            title="That did not work",
            message=f"The request's {fields} cannot be read.",
        )

    @app.exception_handler(HTTPException)
    async def _refused(request: Request, error: HTTPException) -> Response:
        # Airflow says 403 to the session of somebody who was suspended or logged out.
        if request.method == "GET" and (error.status_code == 401 or error.detail == "Invalid JWT token"):
            return RedirectResponse(f"/auth/login/?next={request.url.path}", 303)
        title = {401: "Please log in", 403: "Not for you", 404: "There is no such page"}.get(
            error.status_code, "That did not work"
        )
        message = _NO_PAGE if (error.status_code, error.detail) == (404, "Not Found") else str(error.detail)
        return render(request, "error", _who(request), status=error.status_code, title=title, message=message)

    return app


def equip(app: FastAPI, settings: Settings | None = None) -> None:
    """Give the application what its pages read and write."""
    app.state.index = index = RoundCache(settings)
    app.state.menu = MENU
    app.state.accounts = Accounts()
    app.state.registry = ConsoleDatabase(index.settings.home / "console")
    app.state.limits = RateLimits()


def _path(request: Request) -> str:
    return request.url.path.removeprefix(request.scope.get("root_path", ""))


def _who(request: Request) -> Person | None:
    who: Person | None = getattr(request.state, "who", None)
    return who


def _action(request: Request, code: int) -> Action | None:
    """The log's line about a request that changed something, or was to."""
    route = request.scope.get("route")
    who = _who(request)
    # A stranger could fill the log without end: a visitor's line comes after the rate limit.
    expected = who is not None or getattr(request.state, "visitor", False)
    if request.method in ("GET", "HEAD", "OPTIONS") or route is None or not expected:
        return None
    return Action(
        who=who.login if who else "a visitor",
        what=str(route.name).replace("_", " "),
        whom=str(getattr(request.state, "whom", None) or ", ".join(map(str, request.path_params.values())))[:200],
        outcome="done" if code < 400 else f"refused ({code})",
        source=source(request),
    )
