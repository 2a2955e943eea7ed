"""Who approved which study.

Every owner's signed decisions, published to the store by their makers and checked by every reader.

A worker asks its own folder alone, so that consent holds while the store is down; what could not be published then is
published with the owner's next decision, or by the next set-up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from threading import Lock

from pipeline.consent import approval
from pipeline.consent.approval import Decision
from pipeline.domain import Address, HospitalName, NodeName, Sha256, sha256_text
from pipeline.errors import EvidenceRejected, WardroundError
from pipeline.evidence import signing
from pipeline.evidence.canonical import sha256
from pipeline.host.files import write_atomic
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.store import object_keys
from pipeline.store.bulletin_board import BulletinBoard
from pipeline.store.object_keys import KeyPrefix
from pipeline.store.objects import Store, newest
from pipeline.study.study import Study

_MOST_DECISIONS = 200
"""Of one owner about one study: what lies beyond is no history but a flood, and is not read."""
_MOST_BYTES = 1 << 20
_PUBLISHED = "published"


@dataclass(frozen=True)
class Position:
    """Where one member's owner stands, by what it published."""

    name: str
    node: bool
    address: Address
    decisions: tuple[Decision, ...]
    """Those that hold, oldest first."""
    trouble: str | None = None
    """Why nothing that it published is counted."""

    def approved(self, digest: Sha256) -> bool:
        """Whether its last word about this digest is consent."""
        last = self.last(digest)
        return last is not None and last.given

    def last(self, digest: Sha256) -> Decision | None:
        """Its last word about this digest."""
        return next((decision for decision in reversed(self.decisions) if decision.digest == digest), None)

    @property
    def consent(self) -> Decision | None:
        """The last consent that it gave, to whatever version, withdrawn or not."""
        return next((decision for decision in reversed(self.decisions) if decision.given), None)


def outstanding(identity: Identity, study: str) -> Sequence[bytes]:
    """Decisions in the actor's own folder that are not published yet."""
    return [
        data for path, data in approval.statements(identity, study) if not path.with_suffix(f".{_PUBLISHED}").exists()
    ]


def publish(store: Store, identity: Identity, study: Study) -> int:
    """Post the actor's decisions about a study that are not published yet; how many there were.

    Raises Unavailable, Refused.
    """
    key_prefix = _key_prefix(study, identity.name)
    board = BulletinBoard(store)
    count = 0
    for path, data in approval.statements(identity, study.name):
        mark = path.with_suffix(f".{_PUBLISHED}")
        if not mark.exists():
            board.post(key_prefix, data)
            write_atomic(mark, sha256(data).encode())
            count += 1
    return count


def recover(store: Store, identity: Identity, study: Study, consortium: Consortium) -> int:
    """Fetch decisions that the actor published and has no more, as after a restoration; how many there were.

    The next one then has a number of its own. None becomes a consent in force. Raises Unavailable.
    """
    key_prefix = _key_prefix(study, identity.name)
    count = 0
    for item in newest(store.first(key_prefix.bucket, key_prefix.prefix, _MOST_DECISIONS)):
        try:
            digest = sha256_text(object_keys.key_digest(item.key), "the key's end")
            data = store.get(key_prefix.bucket, item.key, digest, max_bytes=_MOST_BYTES)
            statement = signing.from_bytes(data)
            about = sha256_text(statement.body.get("digest"), f"{identity.name}'s digest")
            decision = approval.read(statement, about, consortium.ledger, identity.key.address)
        except EvidenceRejected:
            continue
        if decision.study == study.name and approval.take_back(identity, decision, data):
            count += 1
    return count


def publish_or_say(settings: Settings, identity: Identity, study: Study) -> str | None:
    """The same with the actor's own access; why it could not be done, or None."""
    try:
        services = Installation.load(settings.installation)
        publish(Store(services.store, identity.credentials, services.authority), identity, study)
    except WardroundError as error:
        return str(error)
    return None


@dataclass
class ConsentLog:
    """Reads what owners published; an object that was read once is not read again, since its key is its digest."""

    store: Store
    _read: dict[str, Decision | str] = field(default_factory=dict)
    """Key to the decision, or to why it does not hold."""
    _lock: Lock = field(default_factory=Lock)

    def positions(self, study: Study, consortium: Consortium) -> tuple[Position, ...]:
        """Every hospital, then every node of the study."""
        (positions,) = self.all({study.name: study}, consortium).values()
        return positions

    def all(self, studies: Mapping[str, Study], consortium: Consortium) -> dict[str, tuple[Position, ...]]:
        """The same of many studies, by one listing.

        A member that published too much to be listed whole costs one more for each study.
        """
        with self._lock:
            versions = self.store.history(object_keys.REPORTS, object_keys.CONSENTS, _MOST_DECISIONS)
            held = Counter(object_keys.member_folder(item.key, object_keys.CONSENTS) for item in versions)
            crowded = {folder for folder, count in held.items() if count > _MOST_DECISIONS}
            keys: dict[str, list[str]] = defaultdict(list)
            for item in newest(versions):
                keys[item.key[: item.key.rindex("/") + 1]].append(item.key)
            return {
                name: tuple(self._position(study, consortium, member, keys, crowded) for member in _members(study))
                for name, study in studies.items()
            }

    def _position(
        self, study: Study, consortium: Consortium, member: str, keys: Mapping[str, Sequence[str]], crowded: Set[str]
    ) -> Position:
        node = member not in study.hospitals
        address = (
            Address(consortium.node(NodeName(member)).address) if node else consortium.hospital(HospitalName(member))
        )
        key_prefix = _key_prefix(study, member)
        inside = keys.get(key_prefix.prefix, ())
        if object_keys.member_folder(key_prefix.prefix, object_keys.CONSENTS) in crowded:
            versions = self.store.first(key_prefix.bucket, key_prefix.prefix, _MOST_DECISIONS + 1)
            if len(versions) > _MOST_DECISIONS:
                return Position(
                    member, node, address, (), f"published more than {_MOST_DECISIONS} statements, which nobody reads"
                )
            inside = [item.key for item in newest(versions)]
        decisions_or_faults = [self._decision(key_prefix, key, consortium, study, member, address) for key in inside]
        held = sorted(
            (decision for decision in decisions_or_faults if isinstance(decision, Decision)),
            key=lambda decision: decision.number,
        )
        if len({decision.number for decision in held}) < len(held):
            return Position(
                member, node, address, (), "signed two decisions under one number, so that none of them counts"
            )
        # What another key signed may be from before a change of keys: it counts for nothing, and takes nothing away.
        wrong = [fault for fault in decisions_or_faults if isinstance(fault, str)]
        return Position(member, node, address, tuple(held), wrong[0] if wrong and not held else None)

    def _decision(
        self, key_prefix: KeyPrefix, key: str, consortium: Consortium, study: Study, member: str, address: Address
    ) -> Decision | str:
        cache_key = f"{consortium.ledger.chain_id} {consortium.ledger.contract} {address} {key}"
        if cache_key not in self._read:
            try:
                self._read[cache_key] = self._checked(key_prefix, key, consortium, study, member, address)
            except EvidenceRejected as error:
                self._read[cache_key] = str(error)
        return self._read[cache_key]

    def _checked(
        self, key_prefix: KeyPrefix, key: str, consortium: Consortium, study: Study, member: str, address: Address
    ) -> Decision:
        digest = sha256_text(object_keys.key_digest(key), "the key's end")
        if key_prefix.key(digest) != key:
            raise EvidenceRejected(f"{key}: got a name that is no statement's")
        statement = signing.from_bytes(self.store.get(key_prefix.bucket, key, digest, max_bytes=_MOST_BYTES))
        about = sha256_text(statement.body.get("digest"), f"{member}'s digest")
        decision = approval.read(statement, about, consortium.ledger, address)
        if decision.signer != member or decision.study != study.name:
            raise EvidenceRejected(
                f"{key}: got a decision by {decision.signer} about {decision.study}, want one by {member} about"
                f" {study.name}"
            )
        return decision


def _members(study: Study) -> tuple[str, ...]:
    return (*study.hospitals, *study.nodes)


def _key_prefix(study: Study, member: str) -> KeyPrefix:
    return object_keys.consents(study.name, HospitalName(member), node=member not in study.hospitals)
