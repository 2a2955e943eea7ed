"""How a hospital that has trained shares its update: first as it should, then changed by a test before it is posted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.domain import HospitalName, Kind, NodeName, RoundId, Sha256, Statement
from pipeline.evidence.canonical import sha256
from pipeline.evidence.signing import to_bytes
from pipeline.model_file import Vector
from pipeline.mpc import sharing
from pipeline.mpc.envelope import Envelope
from pipeline.mpc.manifest import Manifest, Sealed
from pipeline.round.payload import payload
from pipeline.round.worker import RoundContext
from pipeline.store import object_keys
from tests.support.installed import Installed
from tests.support.rounds import Play


def shared_vector(ctx: RoundContext) -> Vector:
    """What the hospital shares in this round: its update as it was trained, with fresh validation samples."""
    worker = ctx.worker
    update = np.frombuffer(
        (worker.identity.home / "rounds" / str(ctx.round_id) / "update.i8").read_bytes(), "<i8"
    ).astype(np.int64)
    return payload(ctx.study, worker.digest, worker.identity, ctx.round_id, update)


@dataclass(frozen=True)
class Dealing:
    """Components, envelopes and what the manifest says of them; frozen, so that each change is a new dealing."""

    ctx: RoundContext
    components: tuple[Vector, ...]
    envelopes: Mapping[NodeName, bytes]
    length: int

    @classmethod
    def honest(cls, ctx: RoundContext, vector: Vector | None = None) -> Dealing:
        worker = ctx.worker
        vector = shared_vector(ctx) if vector is None else vector
        components = sharing.share(vector, len(worker.study.nodes), worker.identity.sharing_secret, ctx.context)
        made = cls(ctx, components, {}, len(vector))
        return replace(made, envelopes={node: made.sealed(node) for node in worker.study.nodes})

    @property
    def name(self) -> HospitalName:
        return HospitalName(self.ctx.worker.identity.name)

    def sealed(self, node: NodeName, change: Mapping[int, Vector] | None = None) -> bytes:
        """The envelope for a node, with some components changed."""
        nodes = self.ctx.worker.study.nodes
        indices = sharing.held_by(nodes.index(node), len(nodes))
        parts = dict(enumerate(self.components)) | dict(change or {})
        envelope = Envelope(self.ctx.context, self.name, node, indices, len(parts[indices[0]]))
        return envelope.seal(parts, self.ctx.sealing_keys()[node])

    def sending(self, envelopes: Mapping[NodeName, bytes]) -> Dealing:
        """The same with other envelopes for these nodes; the manifest describes them."""
        return replace(self, envelopes={**self.envelopes, **envelopes})

    def body(self) -> dict[str, Any]:
        """The manifest's body."""
        worker = self.ctx.worker
        passed = worker.board.only(self.ctx.round_id, Kind.VALIDATION, self.name, self.ctx.check)
        sealed = {node: Sealed(sha256(data), len(data)) for node, data in self.envelopes.items()}
        digests = tuple(map(sharing.component_digest, self.components))
        return Manifest(self.name, self.length, digests, sealed, sha256(to_bytes(passed))).body()

    def manifest(self, **changes: Any) -> Statement:
        """The signed manifest."""
        return self.ctx.worker.sign(Kind.MANIFEST, self.body() | changes, self.ctx.context)

    def post(self, *manifests: Statement, lost: tuple[NodeName, ...] = ()) -> None:
        """Post the envelopes, but for those `lost` on the way, and the manifests; without any the honest one."""
        board = self.ctx.worker.board
        round_id = self.ctx.round_id
        for node, data in self.envelopes.items():
            if node not in lost:
                board.post(object_keys.envelope(round_id, self.name, node), data)
        for manifest in manifests or (self.manifest(),):
            post_as(self.ctx, manifest)


def trained(site: Installed, play: Play, round_id: RoundId, name: HospitalName) -> Dealing:
    """What a hospital that has trained would share, for the test to change."""
    for step in ("validate", "train"):
        play.hospital(step, round_id, name)
    return Dealing.honest(site.hospital_context(play, round_id, name))


def post_as(ctx: RoundContext, manifest: Statement) -> Sha256:
    """Post any manifest in the hospital's own place, whoever is said to have signed it."""
    place = object_keys.statement(ctx.round_id, Kind.MANIFEST, HospitalName(ctx.worker.identity.name))
    return ctx.worker.board.post(place, to_bytes(manifest))


def damaged(data: bytes) -> bytes:
    """The same number of bytes, one of them changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
