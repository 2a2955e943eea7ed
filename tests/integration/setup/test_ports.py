from __future__ import annotations

import socket

import pytest

from pipeline.errors import Misconfigured
from pipeline.host import ports
from tests.support import own_ports


def test_chosen_ports_are_free_and_adjoining() -> None:
    first = ports.choose(5)
    assert all(ports.is_free(port) for port in range(first, first + 5))


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert not ports.is_free(other.getsockname()[1])


def test_no_gap_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    with pytest.raises(Misconfigured, match="adjoining free ports"):
        ports.choose(2)


def test_processes_of_tests_have_no_port_in_common() -> None:
    first, held = own_ports.take()
    second, also_held = own_ports.take()
    with held, also_held:
        assert len({*first, *second, *ports.RANGE}) == len(first) + len(second) + len(ports.RANGE)


def test_a_port_that_was_chosen_is_left_to_whoever_will_listen_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "RANGE", range(30_000, 30_004))
    monkeypatch.setattr(ports, "_chosen", set())
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    assert {ports.choose() for _ in range(3)} == {30_000, 30_001, 30_002}
    assert ports.choose(avoid=[30_001]) in {30_000, 30_002}  # all were chosen: one is chosen again
