"""The environment's proxies stand between this machine and others, never between our own services on loopback.

Every client that we use, and every program that we start, heeds NO_PROXY: one variable holds for all of them, those of
Airflow's own tasks and of DVC too.
"""

from __future__ import annotations

from collections.abc import MutableMapping

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NAMES = ("no_proxy", "NO_PROXY")
"""In the order in which clients ask; few ask for both."""


def spare_loopback(environment: MutableMapping[str, str]) -> None:
    """Keep whoever goes by this environment from asking a proxy for an address of this machine.

    Other hosts for which it asks no proxy stay as they are.
    """
    no_proxy = next((environment[name] for name in _NAMES if environment.get(name)), "")
    hosts = [host for part in no_proxy.split(",") if (host := part.strip())]
    if hosts != ["*"]:  # everything; no client reads that beside other names
        hosts += [host for host in _LOOPBACK if host not in hosts]
    environment.update(dict.fromkeys(_NAMES, ",".join(hosts)))
