from __future__ import annotations

import os

import httpx
import pytest
from requests.utils import get_environ_proxies

from pipeline.host.proxies import spare_loopback

_LOOPBACK = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("said", "left_out"),
    [
        ({}, _LOOPBACK),
        ({"NO_PROXY": "store.example, 10.0.0.0/8"}, f"store.example,10.0.0.0/8,{_LOOPBACK}"),
        ({"no_proxy": "one.example", "NO_PROXY": "other.example"}, f"one.example,{_LOOPBACK}"),
        ({"NO_PROXY": "localhost"}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_loopback_is_left_out_beside_what_somebody_leaves_out(said: dict[str, str], left_out: str) -> None:
    spare_loopback(said)
    assert said == {"no_proxy": left_out, "NO_PROXY": left_out}
    spare_loopback(said)
    assert said["NO_PROXY"] == left_out


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
def test_who_imports_us_asks_no_proxy_for_this_machine_and_one_for_all_others(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]
    for host in ("127.0.0.1", "localhost"):
        assert get_environ_proxies(f"http://{host}:8545", no_proxy=None) == {}
    assert get_environ_proxies("http://publisher.example", no_proxy=None)["http"] == proxy
    with httpx.Client() as client:
        usual = client._transport
        assert client._transport_for_url(httpx.URL("http://127.0.0.1:8545")) is usual
        assert client._transport_for_url(httpx.URL("http://publisher.example")) is not usual
