"""A consortium's machines: the provider's, one for each hospital, node and auditor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.machines.lab import PARTIES, SITES, Lab
from tests.support.machines.machine import Machine

PROVIDER = "provider"


@contextmanager
def machines(
    folder: Path, *, hospitals: Sequence[str] = (), nodes: Sequence[str] = (), auditors: Sequence[str] = ()
) -> Iterator[Mapping[str, Machine]]:
    """All of them switched on, each called as its queue is; until the context ends, or the process."""
    plugs = {
        PROVIDER: [SITES],
        **{f"hospital-{name}": [SITES] for name in hospitals},
        **{f"node-{name}": [SITES, PARTIES] for name in nodes},
        **{f"auditor-{name}": [SITES] for name in auditors},
    }
    with Lab.standing(folder) as lab:
        made = {name: Machine(lab, name, networks) for name, networks in plugs.items()}
        for machine in made.values():
            machine.know(list(made.values()))
        yield made
