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

    def post(self, key_prefix: KeyPrefix, data: bytes) -> Sha256:
        """Write `data` once; its digest."""
        digest = sha256(data)
        self.store.put_once(key_prefix.bucket, key_prefix.key(digest), data)
        return digest

    def fetch(self, key_prefix: KeyPrefix, digest: Sha256, max_bytes: int | None = None) -> bytes:
        """Read what has this digest; raises EvidenceRejected, ObjectMissing.

        Where one member alone writes, it looks through no more versions than a round can need: who heaps up more has
        said nothing.
        """
        most = key_prefix.most if key_prefix.owned else None
        return self.store.get(
            key_prefix.bucket, key_prefix.key(digest), digest, max_bytes=max_bytes or MAX_BYTES, most=most
        )

    def save(self, key_prefix: KeyPrefix, digest: Sha256, file: BinaryIO, max_bytes: int) -> int:
        """Like `fetch`, but into the empty `file`, to be read from its start; the size."""
        size = self.store.save(key_prefix.bucket, key_prefix.key(digest), digest, file, max_bytes=max_bytes)
        file.seek(0)
        return size

    def digests(self, key_prefix: KeyPrefix) -> tuple[Sha256, ...]:
        """Digests of everything under a prefix; raises Crowded where more lies than a round can need."""
        versions = self.store.first(key_prefix.bucket, key_prefix.prefix, key_prefix.most + 1)
        if len(versions) > key_prefix.most:
            raise Crowded(
                f"{key_prefix.bucket}/{key_prefix.prefix}: got more than {key_prefix.most} objects, want at most that"
                " many; nothing in it is read"
            )
        return _digests(key_prefix, versions)

    def some_digests(self, key_prefix: KeyPrefix) -> tuple[Sha256, ...]:
        """Digests of the first objects under a prefix, however many lie there."""
        return _digests(key_prefix, self.store.first(key_prefix.bucket, key_prefix.prefix, key_prefix.most))

    def say(self, round_id: RoundId, statement: Statement) -> Sha256:
        """Post a statement in its signer's place; its digest."""
        return self.post(
            object_keys.statement(round_id, statement.kind, HospitalName(statement.signer)), to_bytes(statement)
        )

    def statement(self, round_id: RoundId, kind: Kind, signer: HospitalName | NodeName, digest: Sha256) -> Statement:
        """The statement with this digest; raises EvidenceRejected unless it names `signer` and `kind`."""
        statement = from_bytes(self.fetch(object_keys.statement(round_id, kind, signer), digest, LARGEST_STATEMENT))
        if statement.signer != signer or statement.kind is not kind:
            raise EvidenceRejected(f"{signer}: got a {statement.kind} by {statement.signer} in the place of its {kind}")
        return statement

    def held(
        self, round_id: RoundId, kind: Kind, signer: HospitalName | NodeName, check: Check
    ) -> dict[Sha256, Statement]:
        """The statements in a signer's place that pass `check`, by digest; what else lies there is nobody's."""
        statements = {}
        for digest in self.digests(object_keys.statement(round_id, kind, signer)):
            with suppress(Rejected):
                statement = self.statement(round_id, kind, signer, digest)
                check(statement)
                statements[digest] = statement
        return statements

    def only(self, round_id: RoundId, kind: Kind, signer: HospitalName | NodeName, check: Check) -> Statement:
        """The one statement of a kind that passes `check`.

        Raises ObjectMissing when there is none, EvidenceRejected when there are two.
        """
        statements = self.held(round_id, kind, signer, check)
        if not statements:
            raise ObjectMissing(f"{signer}: got no {kind} that holds in round {round_id}")
        if len(statements) > 1:
            raise EvidenceRejected(
                f"{signer}: got {len(statements)} different {kind} statements in round {round_id}, want one"
            )
        return next(iter(statements.values()))

    def wait(
        self, round_id: RoundId, kind: Kind, signers: tuple[NodeName, ...], deadline: float, check: Check
    ) -> dict[NodeName, Statement]:
        """The one statement of each signer, waiting until `deadline` (time.monotonic).

        Raises Silent naming who is missing.
        """
        statements: dict[NodeName, Statement] = {}
        while True:
            for signer in signers:
                if signer not in statements and self.digests(object_keys.statement(round_id, kind, signer)):
                    with suppress(ObjectMissing):
                        statements[signer] = self.only(round_id, kind, signer, check)
            missing = [signer for signer in signers if signer not in statements]
            if not missing:
                return statements
            if time.monotonic() > deadline:
                raise Silent(round_id, kind, tuple(missing))
            time.sleep(_POLL_SECONDS)

    def timed(self, round_id: RoundId, actor: str, stage: str, seconds: float) -> None:
        """Post how long a stage took; for reports only."""
        self.post(object_keys.timing(round_id, actor, stage), canonical_json({"seconds": f"{seconds:.3f}"}))

    def json(self, key_prefix: KeyPrefix, digest: Sha256) -> dict[str, Any]:
        """A JSON object by digest; raises EvidenceRejected when it is none."""
        data = self.fetch(key_prefix, digest, LARGEST_STATEMENT)
        try:
            return read_object(data, LARGEST_STATEMENT)
        except EvidenceRejected as error:
            raise EvidenceRejected(f"{key_prefix.bucket}/{key_prefix.key(digest)}: {error}") from error

    def post_json(self, key_prefix: KeyPrefix, value: Mapping[Any, Any]) -> Sha256:
        """Post canonical JSON; its digest."""
        return self.post(key_prefix, canonical_json(value))


def _digests(key_prefix: KeyPrefix, versions: Iterable[ObjectInfo]) -> tuple[Sha256, ...]:
    keys_and_digests = ((info.key, object_keys.key_digest(info.key)) for info in newest(versions))
    # What lies in a folder below the prefix is not under it.
    return tuple(digest for key, digest in keys_and_digests if key == key_prefix.key(digest))
