"""The store as actors use it: signed statements and digests in their places."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from pipeline.domain import HospitalName, Kind, NodeName, RoundId, Sha256, Statement
from pipeline.errors import Crowded, EvidenceRejected, ObjectMissing, Rejected, Silent
from pipeline.evidence.canonical import canonical_json, read_object, sha256
from pipeline.evidence.signing import LARGEST_STATEMENT, from_bytes, to_bytes
from pipeline.store import object_keys
from pipeline.store.object_keys import KeyPrefix
from pipeline.store.objects import MAX_BYTES, ObjectInfo, Store, newest

_POLL_SECONDS = 0.2

Check = Callable[[Statement], object]
"""Raises Rejected when a statement does not hold."""


@dataclass(frozen=True)
class BulletinBoard:
    """One actor's view of the store."""

    store: Store

    def post(self, place: KeyPrefix, data: bytes) -> Sha256:
        """Write `data` once; its digest."""
        digest = sha256(data)
        self.store.put_once(place.bucket, place.key(digest), data)
        return digest

    def fetch(self, place: KeyPrefix, digest: Sha256, max_bytes: int | None = None) -> bytes:
        """Read what has this digest; raises EvidenceRejected, ObjectMissing.

        Where one member alone writes, it looks for that no further than a round can need: who heaps versions up has
        said nothing.
        """
        most = place.most if place.owned else None
        return self.store.get(place.bucket, place.key(digest), digest, max_bytes=max_bytes or MAX_BYTES, most=most)

    def save(self, place: KeyPrefix, digest: Sha256, file: BinaryIO, max_bytes: int) -> int:
        """Like `fetch`, but into the empty `file`, to be read from its start; the size."""
        size = self.store.save(place.bucket, place.key(digest), digest, file, max_bytes=max_bytes)
        file.seek(0)
        return size

    def digests(self, place: KeyPrefix) -> tuple[Sha256, ...]:
        """Digests of everything in a place; raises Crowded where more lies than a round can need."""
        found = self.store.first(place.bucket, place.prefix, place.most + 1)
        if len(found) > place.most:
            raise Crowded(
                f"{place.bucket}/{place.prefix}: got more than {place.most} objects, want at most that many; nothing in"
                " it is read"
            )
        return _digests(place, found)

    def some_digests(self, place: KeyPrefix) -> tuple[Sha256, ...]:
        """Digests of what is first in a place, however much lies there."""
        return _digests(place, self.store.first(place.bucket, place.prefix, place.most))

    def say(self, round_id: RoundId, statement: Statement) -> Sha256:
        """Post a statement in its signer's place; its digest."""
        return self.post(
            object_keys.statement(round_id, statement.kind, HospitalName(statement.signer)), to_bytes(statement)
        )

    def statement(self, round_id: RoundId, kind: Kind, signer: HospitalName | NodeName, digest: Sha256) -> Statement:
        """The statement with this digest; raises EvidenceRejected unless it names `signer` and `kind`."""
        found = from_bytes(self.fetch(object_keys.statement(round_id, kind, signer), digest, LARGEST_STATEMENT))
        if found.signer != signer or found.kind is not kind:
            raise EvidenceRejected(f"{signer}: got a {found.kind} by {found.signer} in the place of its {kind}")
        return found

    def held(
        self, round_id: RoundId, kind: Kind, signer: HospitalName | NodeName, check: Check
    ) -> dict[Sha256, Statement]:
        """The statements in a signer's place that pass `check`, by digest; what else lies there is nobody's."""
        found = {}
        for digest in self.digests(object_keys.statement(round_id, kind, signer)):
            with suppress(Rejected):
                statement = self.statement(round_id, kind, signer, digest)
                check(statement)
                found[digest] = statement
        return found

    def only(self, round_id: RoundId, kind: Kind, signer: HospitalName | NodeName, check: Check) -> Statement:
        """The one statement of a kind that passes `check`.

        Raises ObjectMissing when there is none, EvidenceRejected when there are two.
        """
        found = self.held(round_id, kind, signer, check)
        if not found:
            raise ObjectMissing(f"{signer}: got no {kind} that holds in round {round_id}")
        if len(found) > 1:
            raise EvidenceRejected(
                f"{signer}: got {len(found)} different {kind} statements in round {round_id}, want one"
            )
        return next(iter(found.values()))

    def wait(
        self, round_id: RoundId, kind: Kind, signers: tuple[NodeName, ...], deadline: float, check: Check
    ) -> dict[NodeName, Statement]:
        """The one statement of each signer, waiting until `deadline` (time.monotonic).

        Raises Silent naming who is missing.
        """
        found: dict[NodeName, Statement] = {}
        while True:
            for signer in signers:
                if signer not in found and self.digests(object_keys.statement(round_id, kind, signer)):
                    with suppress(ObjectMissing):
                        found[signer] = self.only(round_id, kind, signer, check)
            missing = [signer for signer in signers if signer not in found]
            if not missing:
                return found
            if time.monotonic() > deadline:
                raise Silent(round_id, kind, tuple(missing))
            time.sleep(_POLL_SECONDS)

    def timed(self, round_id: RoundId, actor: str, stage: str, seconds: float) -> None:
        """Post how long a stage took; for reports only."""
        self.post(object_keys.timing(round_id, actor, stage), canonical_json({"seconds": f"{seconds:.3f}"}))

    def json(self, place: KeyPrefix, digest: Sha256) -> dict[str, Any]:
        """A JSON object by digest; raises EvidenceRejected when it is none."""
        data = self.fetch(place, digest, LARGEST_STATEMENT)
        try:
            return read_object(data, LARGEST_STATEMENT)
        except EvidenceRejected as error:
            raise EvidenceRejected(f"{place.bucket}/{place.key(digest)}: {error}") from error

    def post_json(self, place: KeyPrefix, value: Mapping[Any, Any]) -> Sha256:
        """Post canonical JSON; its digest."""
        return self.post(place, canonical_json(value))


def _digests(place: KeyPrefix, versions: Iterable[ObjectInfo]) -> tuple[Sha256, ...]:
    found = ((info.key, object_keys.key_digest(info.key)) for info in newest(versions))
    # What lies beneath a place is not in it.
    return tuple(digest for key, digest in found if key == place.key(digest))
