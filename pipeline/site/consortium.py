"""The public list of members: who may take part, under which keys, on which ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints

from pipeline.domain import Address, HospitalName, NodeName, Sha256
from pipeline.errors import Misconfigured
from pipeline.host.documents import load
from pipeline.host.files import locked, write_atomic

_Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_HostPort = Annotated[str, StringConstraints(pattern=r"^[^:\s]+:\d{1,5}$")]

PORTS_PER_NODE = 32
"""Consecutive ports that a node's parties use in turn, so that rounds of two studies do not meet on one."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Node(_Model):
    """A node's public identity."""

    address: _Address
    certificate_sha256: _Digest
    """Fingerprint of the TLS certificate that its MPC parties present."""
    host: _HostPort
    """Host and first of the `PORTS_PER_NODE` ports on which its MPC parties listen."""


class LedgerLocation(_Model):
    """Which contract on which chain."""

    chain_id: int
    contract: _Address
    development: bool
    """True for an embedded chain of one operator, which that operator can rewrite."""


class Consortium(_Model):
    """Hospitals and nodes by name, and the ledger."""

    ledger: LedgerLocation
    hospitals: Mapping[HospitalName, _Address]
    nodes: Mapping[NodeName, Node]

    @classmethod
    def load(cls, path: Path) -> Consortium:
        """Read the members' file; raises Misconfigured naming file, field, value and what is allowed."""
        return load(path, cls, "the list of members")

    def save(self, path: Path) -> None:
        """Write the members' file, whole or not at all."""
        write_atomic(path, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False).encode())

    @classmethod
    def change(cls, path: Path, how: Callable[[Consortium], Consortium]) -> None:
        """Put what `how` makes of the members' file in its place; one writer after the other."""
        with locked(path.with_suffix(".lock")):
            how(cls.load(path)).save(path)

    def with_hospital(self, name: HospitalName, address: Address) -> Consortium:
        """The same members, of whom one hospital signs by this address."""
        return self.model_copy(update={"hospitals": {**self.hospitals, name: address}})

    def hospital(self, name: HospitalName) -> Address:
        """A hospital's signing address; raises Misconfigured when it is no member."""
        if name not in self.hospitals:
            raise Misconfigured(
                f"hospital {name!r} has no key in the consortium file, which lists {', '.join(self.hospitals)}"
            )
        return Address(self.hospitals[name])

    def node(self, name: NodeName) -> Node:
        """A node's public identity; raises Misconfigured when it is no member."""
        if name not in self.nodes:
            raise Misconfigured(f"node {name!r} has no key in the consortium file, which lists {', '.join(self.nodes)}")
        return self.nodes[name]

    def fingerprint(self, name: NodeName) -> Sha256:
        """Fingerprint of a node's TLS certificate."""
        return Sha256(self.node(name).certificate_sha256)
