"""The console's web application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles

from pipeline.errors import ObjectMissing, Refused, Rejected, Unavailable, WardroundError
from pipeline.settings import Settings
from plugins.console.page import HERE, render
from plugins.console.pages import ROUTERS
from plugins.console.rounds import RoundIndex

MOUNT = "/wardround"

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
_STATUS = ((Unavailable, 503), (ObjectMissing, 404), (Refused, 409), (Rejected, 422))


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; it opens ledger and store at the first page that needs them."""
    app = FastAPI(title="Wardround console", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.index = RoundIndex(settings or Settings.load())
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    for router in ROUTERS:
        app.include_router(router)

    @app.middleware("http")
    async def _secure(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await answer(request)
        response.headers.update(_HEADERS)
        if request.url.path.removeprefix(request.scope.get("root_path", "")).startswith("/static/"):
            response.headers["Cache-Control"] = "public, max-age=300"
        return response

    @app.exception_handler(WardroundError)
    async def _trouble(request: Request, error: WardroundError) -> Response:
        code = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        return render(request, "error", None, status=code, title="That did not work", message=str(error))

    @app.exception_handler(RequestValidationError)
    async def _malformed(request: Request, error: RequestValidationError) -> Response:
        fields = ", ".join(sorted({str(one["loc"][-1]) for one in error.errors()}))
        return render(request, "error", None, status=422, title="That did not work", message=f"The request's {fields} cannot be read.")

    @app.exception_handler(HTTPException)
    async def _refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == 401 and request.method == "GET":
            return RedirectResponse(f"/auth/login/?next={request.url.path}", 303)
        title = {401: "Please log in", 403: "Not for you", 404: "There is no such page"}.get(error.status_code, "That did not work")
        return render(request, "error", None, status=error.status_code, title=title, message=str(error.detail))

    return app
