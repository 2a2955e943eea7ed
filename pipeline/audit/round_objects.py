"""The stored objects of one round, each read at most once; what others wrote over them or beside them is a finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

from pipeline.audit import statement_archive
from pipeline.audit.interfaces import ObjectStore, Version
from pipeline.domain import Address, Context, HospitalName, Kind, NodeName, RoundId, Sha256, Statement
from pipeline.errors import EvidenceRejected, ObjectMissing
from pipeline.evidence import signing
from pipeline.evidence.canonical import canonical_json, read_object, sha256
from pipeline.store import object_keys
from pipeline.store.object_keys import KeyPrefix


class RoundObjects:
    """One round's objects in the write-once bucket, or those in one of its folders, by one listing of all versions.

    Where a member put in more than any member needs, only the first objects under a prefix that is asked for are
    listed. What the ledger, a signed statement or the round's pack names is read all the same.
    """

    def __init__(self, store: ObjectStore, round_id: RoundId, folder: str = "", *, packed: bool = False) -> None:
        self._store = store
        self.round = round_id
        self._prefix = f"rounds/{round_id}/"
        self._versions = _by_key(store.history(object_keys.REPORTS, self._prefix + folder, object_keys.MOST_OF_MEMBER))
        self.findings: dict[str, str] = {}
        """Object, or folder, to what an auditor must learn of it, although it spoils nothing."""
        held = Counter(self._member(key) for key, versions in self._versions.items() for _ in versions)
        self._crowded = {folder for folder, count in held.items() if count > object_keys.MOST_OF_MEMBER}
        for folder in self._crowded:
            name = f"{object_keys.REPORTS}/{folder}"
            most = object_keys.MOST_OF_MEMBER
            self.findings[name] = (
                f"{name}: got more than {most} objects, want about ten; {object_keys.writers(folder)} wrote them"
            )
        self._inside: dict[str, list[str]] = {}
        self._bytes_by_key: dict[str, bytes] = {}
        for key in sorted(self._versions):
            if self._member(key) not in self._crowded:
                self._inside.setdefault(key[: key.rindex("/") + 1], []).append(key)
        self._packed = packed

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that ever held something, in order; of a member that put in too much those that were read."""
        return tuple(
            sorted(key for key in self._versions if self._member(key) not in self._crowded or key in self._bytes_by_key)
        )

    def members(self, side: str) -> tuple[str, ...]:
        """Names of the `hospitals` or `nodes` that hold something here, in order."""
        before = f"{self._prefix}{side}/"
        return tuple(
            dict.fromkeys(
                key.removeprefix(before).partition("/")[0] for key in sorted(self._versions) if key.startswith(before)
            )
        )

    def digests(self, key_prefix: KeyPrefix) -> tuple[Sha256, ...]:
        """Digests of what lies, or lay, under the prefix."""
        # What lies in a folder below the prefix is not under it.
        inside = ((object_keys.key_digest(key), key) for key in self._in(key_prefix))
        return tuple(digest for digest, key in inside if key_prefix.key(digest) == key)

    def read(self, key_prefix: KeyPrefix, digest: Sha256) -> bytes:
        """The object's bytes; raises EvidenceRejected or ObjectMissing naming it when no version has these bytes."""
        return self.read_key(key_prefix.key(digest), digest)

    def read_key(self, key: str, digest: Sha256) -> bytes:
        """Like `read`, by the whole key."""
        if key not in self._bytes_by_key:
            if self._member(key) in self._crowded:
                self._versions[key] = tuple(
                    version for version in self._store.history(object_keys.REPORTS, key) if version.key == key
                )
            if finding := written_over(object_keys.REPORTS, key, self._versions.get(key, ())):
                self.findings[f"{object_keys.REPORTS}/{key}"] = finding
            out_of_pack = self._pack.get(key) if self._packed and not _is_pack(key) else None
            self._bytes_by_key[key] = (
                self._store.get(object_keys.REPORTS, key, digest) if out_of_pack is None else out_of_pack
            )
        return self._bytes_by_key[key]

    @property
    def packed(self) -> int:
        """How many objects were read out of the round's pack."""
        return len(self._bytes_by_key.keys() & self._pack.keys()) if self._packed else 0

    def pack(self) -> bytes:
        """The round's statements, lists and record that hold, in one piece."""
        inside = []
        for key in self.keys:
            if object_keys.holds(key) and "/report/" not in key:
                with suppress(EvidenceRejected, ObjectMissing):
                    inside.append((key, self.read_key(key, object_keys.key_digest(key))))
        return statement_archive.pack(inside)

    def _in(self, key_prefix: KeyPrefix) -> Sequence[str]:
        if key_prefix.prefix not in self._inside and self._member(key_prefix.prefix) in self._crowded:
            listed = [
                version.key for version in self._store.first(object_keys.REPORTS, key_prefix.prefix, key_prefix.most)
            ]
            packed = [key for key in self._pack if key.startswith(key_prefix.prefix)]
            self._inside[key_prefix.prefix] = list(dict.fromkeys(packed + listed))
        return self._inside.get(key_prefix.prefix, ())

    def _member(self, key: str) -> str:
        return object_keys.member_folder(key, self._prefix)

    @cached_property
    def _pack(self) -> Mapping[str, bytes]:
        """What the round's packs hold, by key."""
        entries: dict[str, bytes] = {}
        key_prefix = object_keys.report(self.round, statement_archive.SUFFIX)
        for digest in self.digests(key_prefix):
            with suppress(EvidenceRejected, ObjectMissing):
                entries |= statement_archive.unpack(self.read(key_prefix, digest))
        return entries

    def statement(
        self,
        kind: Kind,
        signer: HospitalName | NodeName,
        address: Address,
        context: Context,
        digest: Sha256 | None = None,
    ) -> Statement:
        """The signed statement with this digest, or the only one of its kind.

        Raises EvidenceRejected naming the object.
        """
        key_prefix = object_keys.statement(self.round, kind, signer)
        if digest is not None:
            return self._held(key_prefix, kind, signer, address, context, digest)
        statements = self.statements(kind, signer, address, context)
        if len(statements) > 1:
            second = sha256(signing.to_bytes(statements[1]))
            raise EvidenceRejected(
                f"{key_prefix.bucket}/{key_prefix.key(second)}: got a second {kind} by {signer}, want one"
            )
        return statements[0]

    def statements(
        self, kind: Kind, signer: HospitalName | NodeName, address: Address, context: Context
    ) -> tuple[Statement, ...]:
        """All that a member signed of a kind, at least one.

        Raises EvidenceRejected or ObjectMissing naming the object, or the prefix under which none lies.
        """
        key_prefix = object_keys.statement(self.round, kind, signer)
        statements = []
        problems = []
        for digest in self.digests(key_prefix):
            try:
                statements.append(self._held(key_prefix, kind, signer, address, context, digest))
            except (EvidenceRejected, ObjectMissing) as error:
                problems.append(error)
        if not statements:
            missing = (
                f"{key_prefix.bucket}/{key_prefix.prefix}: got no {kind} by {signer}, want one; it was never written,"
                " expired or is damaged"
            )
            raise problems[0] if problems else ObjectMissing(missing)
        return tuple(statements)

    def _held(
        self,
        key_prefix: KeyPrefix,
        kind: Kind,
        signer: HospitalName | NodeName,
        address: Address,
        context: Context,
        digest: Sha256,
    ) -> Statement:
        with naming(key_prefix, digest):
            statement = signing.from_bytes(self.read(key_prefix, digest))
            if statement.signer != signer:
                raise EvidenceRejected(f"got a statement by {statement.signer}, want one by {signer}")
            signing.check(statement, kind, context, address)
        return statement

    def json(self, key_prefix: KeyPrefix, digest: Sha256) -> Mapping[str, Any]:
        """A canonical JSON object; raises EvidenceRejected naming the object when it is none."""
        data = self.read(key_prefix, digest)
        with naming(key_prefix, digest):
            value = read_object(data)
            if canonical_json(value) != data:
                raise EvidenceRejected(f"got {len(data)} bytes of JSON that is not canonical, want sorted compact JSON")
        return value


def written_over(bucket: str, key: str, versions: Iterable[Version]) -> str | None:
    """What others did to an object that is there all the same, None where it was written once; raises ObjectMissing."""
    history = tuple(versions)
    if not any(not version.deleted for version in history):
        what = "only deletion markers" if history else "nothing"
        raise ObjectMissing(f"{bucket}/{key}: got {what} from the store; it was never written, expired or is damaged")
    if len(history) == 1:
        return None
    what = "a deletion marker" if history[0].deleted else f"version {history[0].version_id}"
    return (
        f"{bucket}/{key}: got {len(history)} versions, the newest {what}, want the first only;"
        f" {object_keys.writers(key)} wrote it"
    )


@contextmanager
def naming(key_prefix: KeyPrefix, digest: Sha256) -> Iterator[None]:
    """Put the object's name before the message of an EvidenceRejected that does not carry it."""
    name = f"{key_prefix.bucket}/{key_prefix.key(digest)}"
    try:
        yield
    except EvidenceRejected as error:
        if name in str(error):
            raise
        raise EvidenceRejected(f"{name}: {error}") from error


def _is_pack(key: str) -> bool:
    return key.endswith(f".{statement_archive.SUFFIX}")


def _by_key(versions: Iterable[Version]) -> dict[str, tuple[Version, ...]]:
    versions_by_key: dict[str, tuple[Version, ...]] = {}
    for version in versions:
        versions_by_key[version.key] = (*versions_by_key.get(version.key, ()), version)
    return versions_by_key
