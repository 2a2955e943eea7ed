"""How a hospital that has trained shares its update: first as it should, then changed by a test before it is posted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline import places
from pipeline.domain import HospitalName, Kind, NodeName, Sha256, Statement
from pipeline.evidence.canonical import sha256
from pipeline.evidence.signing import to_bytes
from pipeline.models import Vector
from pipeline.mpc import sharing
from pipeline.mpc.envelope import Envelope
from pipeline.mpc.manifest import Manifest, Sealed
from pipeline.roles.desk import Sitting
from pipeline.roles.payload import payload


def shared_vector(sitting: Sitting) -> Vector:
    """What the hospital shares in this round: its update as it was trained, with fresh validation samples."""
    desk = sitting.desk
    update = np.frombuffer((desk.identity.home / "rounds" / str(sitting.round_id) / "update.i8").read_bytes(), "<i8").astype(np.int64)
    return payload(desk.study, desk.digest, desk.identity, sitting.round_id, update)


@dataclass(frozen=True)
class Dealing:
    """Components, envelopes and what the manifest says of them; frozen, so that each change is a new dealing."""

    sitting: Sitting
    components: tuple[Vector, ...]
    envelopes: Mapping[NodeName, bytes]
    length: int

    @classmethod
    def honest(cls, sitting: Sitting, vector: Vector | None = None) -> Dealing:
        desk = sitting.desk
        vector = shared_vector(sitting) if vector is None else vector
        components = sharing.share(vector, len(desk.study.nodes), desk.identity.sharing_secret, sitting.context)
        made = cls(sitting, components, {}, len(vector))
        return replace(made, envelopes={node: made.sealed(node) for node in desk.study.nodes})

    @property
    def name(self) -> HospitalName:
        return HospitalName(self.sitting.desk.identity.name)

    def sealed(self, node: NodeName, change: Mapping[int, Vector] | None = None) -> bytes:
        """The envelope for a node, with some components changed."""
        nodes = self.sitting.desk.study.nodes
        indices, parts = sharing.held_by(nodes.index(node), len(nodes)), dict(enumerate(self.components)) | dict(change or {})
        envelope = Envelope(self.sitting.context, self.name, node, indices, len(parts[indices[0]]))
        return envelope.seal(parts, self.sitting.sealing_keys()[node])

    def sending(self, envelopes: Mapping[NodeName, bytes]) -> Dealing:
        """The same with other envelopes for these nodes; the manifest describes them."""
        return replace(self, envelopes={**self.envelopes, **envelopes})

    def body(self) -> dict[str, Any]:
        """The manifest's body."""
        desk = self.sitting.desk
        passed = desk.board.only(self.sitting.round_id, Kind.VALIDATION, self.name, self.sitting.check)
        sealed = {node: Sealed(sha256(data), len(data)) for node, data in self.envelopes.items()}
        digests = tuple(map(sharing.component_digest, self.components))
        return Manifest(self.name, self.length, digests, sealed, sha256(to_bytes(passed))).body()

    def manifest(self, **changes: Any) -> Statement:
        """The signed manifest."""
        return self.sitting.desk.sign(Kind.MANIFEST, self.body() | changes, self.sitting.context)

    def post(self, *manifests: Statement, lost: tuple[NodeName, ...] = ()) -> None:
        """Post the envelopes, but for those `lost` on the way, and the manifests; without any the honest one."""
        board, round_id = self.sitting.desk.board, self.sitting.round_id
        for node, data in self.envelopes.items():
            if node not in lost:
                board.post(places.envelope(round_id, self.name, node), data)
        for manifest in manifests or (self.manifest(),):
            post_as(self.sitting, manifest)


def post_as(sitting: Sitting, manifest: Statement) -> Sha256:
    """Post any manifest in the hospital's own place, whoever is said to have signed it."""
    place = places.statement(sitting.round_id, Kind.MANIFEST, HospitalName(sitting.desk.identity.name))
    return sitting.desk.board.post(place, to_bytes(manifest))


def damaged(data: bytes) -> bytes:
    """The same number of bytes, one of them changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
