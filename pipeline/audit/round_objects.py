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

    Of a member that put in more than any member needs nothing is listed but the beginning of a place that is asked for.
    What the ledger, a signed statement or the round's pack names is read all the same.
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
        self._known: dict[str, bytes] = {}
        for key in sorted(self._versions):
            if self._member(key) not in self._crowded:
                self._inside.setdefault(key[: key.rindex("/") + 1], []).append(key)
        self._packed = packed

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that ever held something, in order; of a member that put in too much those that were read."""
        return tuple(
            sorted(key for key in self._versions if self._member(key) not in self._crowded or key in self._known)
        )

    def members(self, side: str) -> tuple[str, ...]:
        """Names of the `hospitals` or `nodes` that hold something here, in order."""
        before = f"{self._prefix}{side}/"
        return tuple(
            dict.fromkeys(
                key.removeprefix(before).partition("/")[0] for key in sorted(self._versions) if key.startswith(before)
            )
        )

    def digests(self, place: KeyPrefix) -> tuple[Sha256, ...]:
        """Digests of what lies, or lay, in `place`."""
        # What lies beneath a place is not in it.
        inside = ((object_keys.key_digest(key), key) for key in self._in(place))
        return tuple(digest for digest, key in inside if place.key(digest) == key)

    def read(self, place: KeyPrefix, digest: Sha256) -> bytes:
        """The object's bytes; raises EvidenceRejected or ObjectMissing naming it when no version has these bytes."""
        return self.read_key(place.key(digest), digest)

    def read_key(self, key: str, digest: Sha256) -> bytes:
        """Like `read`, by the whole key."""
        if key not in self._known:
            if self._member(key) in self._crowded:
                self._versions[key] = tuple(
                    each for each in self._store.history(object_keys.REPORTS, key) if each.key == key
                )
            if finding := written_over(object_keys.REPORTS, key, self._versions.get(key, ())):
                self.findings[f"{object_keys.REPORTS}/{key}"] = finding
            out_of_pack = self._pack.get(key) if self._packed and not _is_pack(key) else None
            self._known[key] = self._store.get(object_keys.REPORTS, key, digest) if out_of_pack is None else out_of_pack
        return self._known[key]

    @property
    def packed(self) -> int:
        """How many objects were read out of the round's pack."""
        return len(self._known.keys() & self._pack.keys()) if self._packed else 0

    def pack(self) -> bytes:
        """The round's statements, lists and record that hold, in one piece."""
        inside = []
        for key in self.keys:
            if object_keys.holds(key) and "/report/" not in key:
                with suppress(EvidenceRejected, ObjectMissing):
                    inside.append((key, self.read_key(key, object_keys.key_digest(key))))
        return statement_archive.pack(inside)

    def _in(self, place: KeyPrefix) -> Sequence[str]:
        if place.prefix not in self._inside and self._member(place.prefix) in self._crowded:
            listed = [each.key for each in self._store.first(object_keys.REPORTS, place.prefix, place.most)]
            packed = [key for key in self._pack if key.startswith(place.prefix)]
            self._inside[place.prefix] = list(dict.fromkeys(packed + listed))
        return self._inside.get(place.prefix, ())

    def _member(self, key: str) -> str:
        return object_keys.member_folder(key, self._prefix)

    @cached_property
    def _pack(self) -> Mapping[str, bytes]:
        """What the round's packs hold, by key."""
        found: dict[str, bytes] = {}
        place = object_keys.report(self.round, statement_archive.SUFFIX)
        for digest in self.digests(place):
            with suppress(EvidenceRejected, ObjectMissing):
                found |= statement_archive.unpack(self.read(place, digest))
        return found

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
        place = object_keys.statement(self.round, kind, signer)
        if digest is not None:
            return self._held(place, kind, signer, address, context, digest)
        found = self.statements(kind, signer, address, context)
        if len(found) > 1:
            second = sha256(signing.to_bytes(found[1]))
            raise EvidenceRejected(f"{place.bucket}/{place.key(second)}: got a second {kind} by {signer}, want one")
        return found[0]

    def statements(
        self, kind: Kind, signer: HospitalName | NodeName, address: Address, context: Context
    ) -> tuple[Statement, ...]:
        """All that a member signed of a kind, at least one.

        Raises EvidenceRejected or ObjectMissing naming object or place.
        """
        place = object_keys.statement(self.round, kind, signer)
        found = []
        problems = []
        for digest in self.digests(place):
            try:
                found.append(self._held(place, kind, signer, address, context, digest))
            except (EvidenceRejected, ObjectMissing) as error:
                problems.append(error)
        if not found:
            missing = (
                f"{place.bucket}/{place.prefix}: got no {kind} by {signer}, want one; it was never written, expired or"
                " is damaged"
            )
            raise problems[0] if problems else ObjectMissing(missing)
        return tuple(found)

    def _held(
        self,
        place: KeyPrefix,
        kind: Kind,
        signer: HospitalName | NodeName,
        address: Address,
        context: Context,
        digest: Sha256,
    ) -> Statement:
        with naming(place, digest):
            statement = signing.from_bytes(self.read(place, digest))
            if statement.signer != signer:
                raise EvidenceRejected(f"got a statement by {statement.signer}, want one by {signer}")
            signing.check(statement, kind, context, address)
        return statement

    def json(self, place: KeyPrefix, digest: Sha256) -> Mapping[str, Any]:
        """A canonical JSON object; raises EvidenceRejected naming the object when it is none."""
        data = self.read(place, digest)
        with naming(place, digest):
            value = read_object(data)
            if canonical_json(value) != data:
                raise EvidenceRejected(f"got {len(data)} bytes of JSON that is not canonical, want sorted compact JSON")
        return value


def written_over(bucket: str, key: str, versions: Iterable[Version]) -> str | None:
    """What others did to an object that is there all the same, None where it was written once; raises ObjectMissing."""
    found = tuple(versions)
    if not any(not version.deleted for version in found):
        what = "only deletion markers" if found else "nothing"
        raise ObjectMissing(f"{bucket}/{key}: got {what} from the store; it was never written, expired or is damaged")
    if len(found) == 1:
        return None
    what = "a deletion marker" if found[0].deleted else f"version {found[0].version_id}"
    return (
        f"{bucket}/{key}: got {len(found)} versions, the newest {what}, want the first only; {object_keys.writers(key)}"
        " wrote it"
    )


@contextmanager
def naming(place: KeyPrefix, digest: Sha256) -> Iterator[None]:
    """Put the object's name before the message of an EvidenceRejected that does not carry it."""
    name = f"{place.bucket}/{place.key(digest)}"
    try:
        yield
    except EvidenceRejected as error:
        if name in str(error):
            raise
        raise EvidenceRejected(f"{name}: {error}") from error


def _is_pack(key: str) -> bool:
    return key.endswith(f".{statement_archive.SUFFIX}")


def _by_key(versions: Iterable[Version]) -> dict[str, tuple[Version, ...]]:
    found: dict[str, tuple[Version, ...]] = {}
    for version in versions:
        found[version.key] = (*found.get(version.key, ()), version)
    return found
