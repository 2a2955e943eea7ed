"""What an audit reads, and nothing else: the ledger's rounds and the store's objects.

`pipeline.chain` and `pipeline.store` answer it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipeline.domain import Address, RoundId, Sha256
from pipeline.ledger_types.events import FinalisedEvent, StudyId, StudyRegisteredEvent
from pipeline.ledger_types.state import HospitalStatus, Members, RoundState, StudyState


class RoundReader(Protocol):
    """What one round's own transactions answer; each raises Unavailable when the chain does not answer."""

    @property
    def chain_id(self) -> int:
        """The chain's number."""

    @property
    def contract(self) -> Address:
        """The ledger's address."""

    def round(self, round_id: RoundId) -> RoundState:
        """A round; raises EvidenceRejected when it was never opened."""

    def nodes(self, state: RoundState) -> Members:
        """The nodes that decide, or decided, about a round."""

    def hospital(self, address: Address) -> HospitalStatus:
        """unknown, registered, authorised, revoked or retired."""

    def signatures(self, finalised: FinalisedEvent) -> Sequence[str]:
        """The nodes' signatures in the transaction that finalised a round, hexadecimal."""

    def verify_model(self, round_id: RoundId, model: Sha256) -> bool:
        """Whether a majority decided that the round ends with `model`."""


class HistoryReader(RoundReader, Protocol):
    """What the whole ledger answers: rounds among the others of their study, and what was decided between them."""

    @property
    def development(self) -> bool:
        """Whether one operator runs the whole chain."""

    def rounds(self) -> Sequence[RoundState]:
        """Every round in the order of opening."""

    def line(self, study: StudyId) -> Sequence[RoundState]:
        """The rounds of a study, and before them those of the studies that it continues, in the order of opening."""

    def before(self, state: RoundState, count: int) -> Sequence[RoundState]:
        """The `count` rounds of its study's line that were finalised last before `state` was opened, oldest first.

        The line of a study goes on, before its own rounds, with the round that it continues and those before that one.
        """

    def judged(self, state: RoundState, count: int) -> Sequence[RoundState]:
        """The `count` rounds of its study's line that judged hospitals last before `state`, and all since a model.

        Oldest first.
        """

    def after(self, state: RoundState) -> RoundState | None:
        """The round of its study that was opened next; None while there is none."""

    def study(self, study: StudyId) -> StudyState:
        """A study; raises EvidenceRejected when it was never registered."""

    def registration(self, study: StudyId) -> StudyRegisteredEvent:
        """How a study was registered."""

    def parent_round(self, study: StudyId) -> RoundId | None:
        """The round of another study whose model this one started from; None for a first model of its own."""

    def released(self, study: StudyId, last: RoundState | None, until: int | None = None) -> Sequence[Address]:
        """Hospitals that a majority released from quarantine.

        After round `last` (None: before the first) and up to block `until`.
        """

    def first_account(self, address: Address) -> Address:
        """The account with which the hospital of this one registered."""


class Version(Protocol):
    """One stored version of an object."""

    @property
    def key(self) -> str:
        """The object's key."""

    @property
    def version_id(self) -> str:
        """The store's name of this version."""

    @property
    def deleted(self) -> bool:
        """Whether it is a marker of a deletion."""


class ObjectStore(Protocol):
    """The store's reads that an audit needs; each raises a WardroundError naming the object."""

    def get(self, bucket: str, key: str, sha256: Sha256) -> bytes:
        """The current version, hashed; raises EvidenceRejected when its hash is another."""

    def history(self, bucket: str, prefix: str, most: int | None = None) -> Sequence[Version]:
        """Every version and deletion marker under `prefix`, newest first within a key.

        Of a folder two below `prefix` that holds more than `most` it need not list more.
        """

    def first(self, bucket: str, prefix: str, count: int) -> Sequence[Version]:
        """The first `count` of what `history` lists."""
