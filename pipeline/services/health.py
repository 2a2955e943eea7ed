"""Whether each service answers as it should."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import httpx

from pipeline.errors import Unavailable
from pipeline.host import trust
from pipeline.host.secret import Secret
from pipeline.services import servers
from pipeline.services.services import AIRFLOW, CHAIN, STORE
from pipeline.site.consortium import Consortium
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings

_TIMEOUT = 3.0


def store(installation: Installation) -> str | None:
    """None when the store takes requests, else what is wrong."""
    return _trouble(lambda: _get(f"{installation.store}{servers.HEALTH}", installation.authority))


def front(public: str, authority: Path) -> str | None:
    """None when the provider's front lets through to the store as sites call it, else what is wrong."""
    return _trouble(lambda: _get(f"{public}{servers.HEALTH}", authority))


def chain(installation: Installation, chain_id: int | None) -> str | None:
    """None when the chain answers with its stored id (any id before the first set-up), else what is wrong."""

    def ask() -> None:
        answer = httpx.post(
            installation.rpc,
            json={"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []},
            timeout=_TIMEOUT,
            verify=_trusted(installation.authority),
        )
        answer.raise_for_status()
        answered = int(answer.json()["result"], 16)
        if chain_id is not None and answered != chain_id:
            raise ValueError(f"got chain {answered}, want {chain_id}")

    return _trouble(ask)


def airflow(installation: Installation) -> Mapping[str, str | None]:
    """For each of Airflow's processes None when it is healthy, else what is wrong."""
    try:
        answer = httpx.get(
            f"{installation.airflow}/api/v2/monitor/health", timeout=_TIMEOUT, verify=_trusted(installation.authority)
        )
        answer.raise_for_status()
        parts = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        return dict.fromkeys(AIRFLOW, f"the API does not answer ({type(error).__name__})")
    scheduler = parts.get("scheduler", {}).get("status")
    dags = parts.get("dag_processor", {}).get("status")
    return dict(
        zip(
            AIRFLOW,
            (
                None,
                None if scheduler == "healthy" else f"the scheduler is {scheduler}",
                None if dags == "healthy" else f"the DAG processor is {dags}",
            ),
            strict=True,
        )
    )


def dags(installation: Installation, user: str, password: Secret, wanted: Iterable[str]) -> str | None:
    """None when Airflow has parsed all `wanted` DAGs without an error, else what is wrong."""
    try:
        trusted = _trusted(installation.authority)
        with httpx.Client(base_url=installation.airflow, timeout=_TIMEOUT, verify=trusted) as client:
            token = client.post("/auth/token", json={"username": user, "password": password.text()})
            token.raise_for_status()
            client.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
            errors = client.get("/api/v2/importErrors").raise_for_status().json()["import_errors"]
            parsed = {
                dag["dag_id"]
                for dag in client.get("/api/v2/dags", params={"limit": 200}).raise_for_status().json()["dags"]
            }
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return f"the API did not list the DAGs ({type(error).__name__})"
    if errors:
        return f"{errors[0]['filename']}: {errors[0]['stack_trace'].strip().splitlines()[-1]}"
    missing = sorted(set(wanted) - parsed)
    return f"{', '.join(missing)} not parsed yet" if missing else None


def stored_chain_id(settings: Settings) -> int | None:
    """Chain id of the members' file; None before the first set-up."""
    return Consortium.load(settings.consortium).ledger.chain_id if settings.consortium.exists() else None


def every(installation: Installation, chain_id: int | None) -> Mapping[str, str | None]:
    """Service to None (healthy) or what is wrong with it."""
    return {STORE: store(installation), CHAIN: chain(installation, chain_id), **airflow(installation)}


def wait(what: str, check: Callable[[], str | None], seconds: float) -> None:
    """Ask until the service is healthy; raises Unavailable with the last trouble."""
    deadline = time.monotonic() + seconds
    while trouble := check():
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{what} is not healthy after {seconds:.0f} s: {trouble}; its log in .wardround/logs says why"
            )
        time.sleep(0.5)


def _get(url: str, authority: Path | None) -> None:
    httpx.get(url, timeout=_TIMEOUT, verify=_trusted(authority)).raise_for_status()


@cache
def _trusted(authority: Path | None) -> ssl.SSLContext:
    """The certificates that count, read once.

    Httpx would read them anew for every request, which takes longer than the answer.
    """
    return trust.context(authority)


def _trouble(ask: Callable[[], None]) -> str | None:
    try:
        ask()
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return None
