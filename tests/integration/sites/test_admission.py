"""A site's worker asks before its start whether the provider would let it in, and its log says why not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.airflow import admission
from pipeline.errors import Refused, Unavailable
from pipeline.host.files import write_secret
from pipeline.host.secret import Secret
from pipeline.site import worker_report
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from plugins.site_check import edge
from plugins.site_check.edge import Job, WorkerCall
from tests.support.installations import settings_in
from tests.support.serving import reply, serving

WREN = "hospital-wren"


class Provider:
    """The provider's check of calls, with nothing behind it."""

    def __init__(self, port: int) -> None:
        self.left = threading.Event()
        self.url = f"http://127.0.0.1:{port}"
        self.tokens: dict[str, Secret] = {}
        self.asked = 0

    def token(self, queue: str) -> Secret | None:
        return self.tokens.get(queue)

    def queues(self, job: Job) -> Mapping[str, str]:
        return {}

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        token = handler.headers["Authorization"].encode()
        call = WorkerCall(handler.command, handler.path.encode(), b"", (token,))
        try:
            granted = edge.granted(call, self)
        except Refused as error:
            reply(handler, json.dumps({"detail": str(error)}).encode(), 403)
        else:
            reply(handler, granted.rest.encode())


@pytest.fixture
def provider() -> Iterator[Provider]:
    with serving(Provider) as responder:
        yield responder


@pytest.fixture
def site(tmp_path: Path, provider: Provider) -> tuple[Settings, Installation]:
    settings = settings_in(tmp_path)
    token = Secret.generate(64).token().encode()
    write_secret(settings.site_token, token)
    provider.tokens[WREN] = Secret(token)
    installation = Installation(store=provider.url, rpc=provider.url, airflow=provider.url)
    installation.save(settings.installation)
    return settings, installation


def test_a_site_is_let_in_by_its_own_token(site: tuple[Settings, Installation]) -> None:
    assert admission.refusal(*site, WREN) is None


def test_a_site_whose_token_was_revoked_is_told_so(provider: Provider, site: tuple[Settings, Installation]) -> None:
    provider.tokens.clear()
    assert "its token was revoked; ask the provider for a new invitation" in str(admission.refusal(*site, WREN))


@pytest.mark.parametrize(("minutes", "how"), [(16, "16 min ahead of"), (-16, "16 min behind")])
def test_a_wrong_clock_is_called_so_and_by_how_much(
    site: tuple[Settings, Installation], monkeypatch: pytest.MonkeyPatch, minutes: int, how: str
) -> None:
    # Of the site alone: the provider runs in this process, too.
    monkeypatch.setattr(admission, "time", SimpleNamespace(time=lambda: time.time() + 60 * minutes))
    said = str(admission.refusal(*site, WREN))
    assert "set the clock that is wrong" in said
    assert f"this machine's clock is {how} the provider's" in said


def test_a_site_whose_version_changed_is_told_both_and_what_to_do(
    site: tuple[Settings, Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of the site alone: what it says of itself is signed with its call.
    ours = worker_report.own_version()
    monkeypatch.setattr(
        admission, "worker_report", SimpleNamespace(VERSION="wardround_version", own_version=lambda: "9")
    )
    said = str(admission.refusal(*site, WREN))
    assert f"got a site of Wardround 9, the provider's is {ours}: install one version at all sites" in said
    with pytest.raises(Refused, match=r"give `wardround up` there"):
        admission.require(*site, WREN, seconds=600)


def test_a_provider_that_is_away_is_called_so(site: tuple[Settings, Installation]) -> None:
    settings, installation = site
    away = installation.model_copy(update={"airflow": "http://127.0.0.1:9"})
    with pytest.raises(Unavailable, match=r"the provider did not answer \(ConnectError\)"):
        admission.require(settings, away, WREN, seconds=0)


def test_a_refusal_is_not_waited_out(provider: Provider, site: tuple[Settings, Installation]) -> None:
    admission.require(*site, WREN, seconds=0)
    provider.tokens.clear()
    with pytest.raises(Refused, match="its token was revoked"):
        admission.require(*site, WREN, seconds=600)


def test_a_worker_waits_until_it_is_let_in_and_says_each_reason_once(
    provider: Provider,
    site: tuple[Settings, Installation],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tokens = dict(provider.tokens)
    provider.tokens.clear()

    def sleep(_: float) -> None:
        if provider.asked == 3:
            provider.tokens.update(tokens)

    monkeypatch.setattr(admission, "time", SimpleNamespace(time=time.time, sleep=sleep))
    admission.wait(site[0], WREN)
    assert provider.asked == 4
    assert [record.message for record in caplog.records if record.name == admission.__name__] == [
        "the provider does not let the worker in: hospital-wren: no such site, or its token was revoked; ask the"
        " provider for a new invitation"
    ]
