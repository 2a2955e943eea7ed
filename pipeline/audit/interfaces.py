"""What an audit reads, and nothing else: the ledger's events and the store's objects. `pipeline.chain` and `pipeline.store` answer this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pipeline.domain import Address, Result, RoundId, RoundStatus, Sha256

StudyId = Any
"""A study's id as the ledger writes it (Keccak-256 of its name); an audit only hands it on."""


class TxLocation(Protocol):
    """Where an event stands on the chain."""

    @property
    def transaction(self) -> str:
        """Transaction hash, 0x and 64 digits."""

    @property
    def block(self) -> int:
        """Block number."""

    @property
    def time(self) -> int:
        """Block time, seconds since the epoch."""


class Opened(Protocol):
    """A round's terms."""

    @property
    def study_digest(self) -> Sha256:
        """Digest of the study that every worker approved."""

    @property
    def previous_model(self) -> Sha256:
        """The study's current model when the round was opened."""

    @property
    def sealing_keys(self) -> Sha256:
        """Joint digest of the nodes' signed key records, in the study's order."""

    @property
    def commit_deadline(self) -> int:
        """Block time until which it may get its set."""

    @property
    def result_deadline(self) -> int:
        """Block time until which it may get its result."""

    @property
    def location(self) -> TxLocation:
        """Where the event stands."""


class Direct(Protocol):
    """A manifest that a hospital put on the ledger itself."""

    @property
    def hospital(self) -> Address:
        """The hospital's account."""

    @property
    def manifest(self) -> Sha256:
        """The manifest's digest."""


class Committed(Protocol):
    """The set of manifests that the round was fixed on."""

    @property
    def root(self) -> Sha256:
        """Merkle root of the manifests' digests."""


class Finalised(Protocol):
    """The end of a round by a majority."""

    @property
    def round(self) -> RoundId:
        """The round's number."""

    @property
    def signers(self) -> int:
        """Bit i is set when the study's node i signed."""

    @property
    def location(self) -> TxLocation:
        """Where the event stands."""


class Aborted(Protocol):
    """The end of a round without a model."""

    @property
    def location(self) -> TxLocation:
        """Where the event stands."""


class Decided(Protocol):
    """The end of a round without a model, by a majority."""

    @property
    def reason(self) -> str:
        """Why, in one word."""

    @property
    def blamed(self) -> Sequence[Address]:
        """Accounts of the hospitals that the majority blames."""

    @property
    def signers(self) -> int:
        """Bit i is set when the study's node i signed."""


class RoundState(Protocol):
    """One round as the ledger has it."""

    @property
    def round(self) -> RoundId:
        """The round's number."""

    @property
    def study(self) -> StudyId:
        """The study's id: Keccak-256 of its name, hexadecimal."""

    @property
    def status(self) -> RoundStatus:
        """Where it stands."""

    @property
    def opened(self) -> Opened:
        """Its terms."""

    @property
    def direct(self) -> Sequence[Direct]:
        """What hospitals committed directly."""

    @property
    def committed(self) -> Committed | None:
        """Its set, once fixed."""

    @property
    def finalised(self) -> Finalised | None:
        """Its end by a majority."""

    @property
    def decided(self) -> Decided | None:
        """Why a majority ended it without a model; None where its deadline did, or it has one."""

    @property
    def aborted(self) -> Aborted | None:
        """Its end without a model."""

    @property
    def judged(self) -> bool:
        """Whether it ended with a verdict on hospitals: a model, or an abort by a majority that blames some."""

    @property
    def result(self) -> Result | None:
        """What the majority signed; None unless finalised."""


class Members(Protocol):
    """Nodes of a study."""

    @property
    def nodes(self) -> Sequence[Address]:
        """Signing addresses of all nodes, in order."""

    @property
    def threshold(self) -> int:
        """Signatures that decide a round."""


class StudyState(Members, Protocol):
    """A study as the ledger has it now."""

    @property
    def epoch(self) -> int:
        """1 as long as its nodes are those of its registration."""

    @property
    def current_model(self) -> Sha256:
        """The model that the next round starts from."""


class Registered(Protocol):
    """A study's registration."""

    @property
    def initial_model(self) -> Sha256:
        """The model of round 0."""


class Ledger(Protocol):
    """The ledger's reads that an audit needs; each raises Unavailable when the chain does not answer."""

    @property
    def chain_id(self) -> int:
        """The chain's number."""

    @property
    def contract(self) -> Address:
        """The ledger's address."""

    @property
    def development(self) -> bool:
        """Whether one operator runs the whole chain."""

    def round(self, round_id: RoundId) -> RoundState:
        """A round; raises EvidenceRejected when it was never opened."""

    def rounds(self, study: None = None) -> Sequence[RoundState]:
        """Every round in the order of opening."""

    def before(self, state: Any, count: int) -> Sequence[RoundState]:
        """The `count` rounds of its study that were finalised last before `state` was opened, oldest first."""

    def judged(self, state: Any, count: int) -> Sequence[RoundState]:
        """The `count` rounds of its study that judged hospitals last before `state`, and all since the last model; oldest first."""

    def first_account(self, address: Address) -> Address:
        """The account with which the hospital of this one registered."""

    def after(self, state: Any) -> RoundState | None:
        """The round of its study that was opened next; None while there is none."""

    def study(self, study: StudyId) -> StudyState:
        """A study; raises EvidenceRejected when it was never registered."""

    def registration(self, study: StudyId) -> Registered:
        """How a study was registered."""

    def nodes(self, state: Any) -> Members:
        """The nodes that decide, or decided, about a round."""

    def released(self, study: StudyId, last: Any, until: int | None = None) -> Sequence[Address]:
        """Hospitals that a majority released from quarantine after round `last` (None: before the first) and up to block `until`."""

    def hospital(self, address: Address) -> str:
        """unknown, registered, authorised or revoked."""

    def signatures(self, finalised: Any) -> Sequence[str]:
        """The nodes' signatures in the transaction that finalised a round, hexadecimal."""

    def verify_model(self, round_id: RoundId, model: Sha256) -> bool:
        """Whether a majority decided that the round ends with `model`."""


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
