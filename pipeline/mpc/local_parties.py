"""Every party of a computation on this machine, as trials, measurements and reproductions run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from pipeline.domain import HospitalName
from pipeline.host import ports
from pipeline.mpc.engines.base import Components, Party
from pipeline.mpc.sharing import Vector, held_by

T = TypeVar("T")


def deal(shared: Mapping[HospitalName, Sequence[Vector]], parties: int) -> list[Components]:
    """What each party holds of the hospitals' components, in order of the parties."""
    return [
        {name: {index: components[index] for index in held_by(party, parties)} for name, components in shared.items()}
        for party in range(parties)
    ]


def local_parties(tls: Sequence[Path], folders: Sequence[Path], deadline_seconds: float) -> list[Party]:
    """One party for each folder with a certificate and its key (`cert.pem`, `key.pem`), pinned by all, on free ports.

    Each works and logs in the folder of its place in `folders`, which exists. Raises Misconfigured when no ports are
    free.
    """
    first = ports.choose(len(tls))
    return [
        Party(
            index=index,
            hosts=tuple(f"{ports.LOOPBACK}:{first + offset}" for offset in range(len(tls))),
            certificate=keys / "cert.pem",
            private_key=keys / "key.pem",
            peer_certificates=tuple(peer / "cert.pem" for peer in tls),
            workdir=folder / "work",
            log=folder / "party.log",
            deadline_seconds=deadline_seconds,
        )
        for index, (keys, folder) in enumerate(zip(tls, folders, strict=True))
    ]


def run_together(parties: Sequence[Party], call: Callable[[Party], T]) -> list[T]:
    """What `call` gives for each party, all at once; raises what the first of them raises."""
    with ThreadPoolExecutor(len(parties)) as threads:
        return list(threads.map(call, parties))
