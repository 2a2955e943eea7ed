"""Whether the provider lets this site's worker in, asked by the worker's own token, and why not.

Airflow's worker ends where it is refused and says the status alone, and its start is dear. So it asks before.
"""

from __future__ import annotations

import logging
import ssl
import time
from email.utils import parsedate_to_datetime

import httpx
import jwt

from pipeline.errors import Misconfigured, Refused, Unavailable, WardroundError
from pipeline.host import trust
from pipeline.host.secret import Secret
from pipeline.site import worker_report
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings

ASKED = "health"
"""The call of Airflow's Edge API that changes nothing."""
VALID_SECONDS = 300
"""Of a worker's token for one call, which a provider at its limit may be late to read."""

_TIMEOUT_SECONDS = 10
_SHORTEST_WAIT = 2.0
_LONGEST_WAIT = 30.0
_SAME_CLOCK_SECONDS = 60
_LOG = logging.getLogger(__name__)


def refusal(settings: Settings, installation: Installation, queue: str) -> str | None:
    """None when the provider would let the worker of `queue` in, else what it says and what to do.

    Raises Unavailable when it does not answer, Misconfigured when its certificate does not hold.
    """
    return _refusal(
        edge_api(installation, queue), Secret.read(settings.site_token), trust.context(installation.authority)
    )


def require(settings: Settings, installation: Installation, queue: str, seconds: float) -> None:
    """Raise Refused unless the provider would let the worker in, Unavailable when it has not answered for so long."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            refused = refusal(settings, installation, queue)
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(_SHORTEST_WAIT)
            continue
        if refused is not None:
            raise Refused(refused)
        return


def wait(settings: Settings, queue: str) -> None:
    """Return when the provider lets the worker in; until then its log has each new reason once."""
    said: str | None = None
    pause = _SHORTEST_WAIT
    while True:
        try:
            trouble = refusal(settings, Installation.load(settings.installation), queue)
        except WardroundError as error:
            trouble = str(error)
        if trouble is None:
            return
        if trouble != said:
            _LOG.warning("the provider does not let the worker in: %s", trouble)
            said = trouble
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_WAIT)


def edge_api(installation: Installation, queue: str) -> str:
    """Where the site's worker asks; the calls of Airflow's Edge API follow."""
    return f"{installation.airflow}/sites/{queue}/edge_worker/v1"


def _refusal(url: str, secret: Secret, trusted: ssl.SSLContext) -> str | None:
    now = int(time.time())
    claims = {
        "aud": "api",
        "iat": now,
        "nbf": now,
        "exp": now + VALID_SECONDS,
        "method": ASKED,
        worker_report.VERSION: worker_report.own_version(),
    }
    token = jwt.encode(claims, secret.text(), algorithm="HS512")
    try:
        answer = httpx.get(f"{url}/{ASKED}", headers={"Authorization": token}, timeout=_TIMEOUT_SECONDS, verify=trusted)
    except httpx.HTTPError as error:
        if bad := trust.bad_certificate(error):
            raise Misconfigured(f"{url}: {bad}") from error
        raise Unavailable(f"{url}: the provider did not answer ({type(error).__name__}); is it up?") from error
    if answer.is_success:
        return None
    if answer.is_server_error:
        raise Unavailable(f"{url}: the provider answered HTTP {answer.status_code}; is all of it up?")
    return f"{_detail(answer)}{_clocks(answer, now)}"


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"got HTTP {answer.status_code}"


def _clocks(answer: httpx.Response, here: int) -> str:
    """By how much the clocks differ, where that is the matter."""
    try:
        there = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return ""
    late = round((here - there) / 60)
    if abs(here - there) < _SAME_CLOCK_SECONDS:
        return ""
    return f"; this machine's clock is {abs(late)} min {'ahead of' if late > 0 else 'behind'} the provider's"
