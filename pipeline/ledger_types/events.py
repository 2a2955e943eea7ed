"""What the ledger's contract recorded, as frozen types; digests, roots and keys are hexadecimal without 0x."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NewType

from pipeline.domain import Address, RoundId, RoundStatus, Sha256

StudyId = NewType("StudyId", str)
"""Keccak-256 of a study's name, 64 hexadecimal digits."""

STATUSES = tuple(RoundStatus)
"""Round states by the contract's numbers."""

ROUND_EVENTS = (
    "RoundOpened",
    "CommittedDirectly",
    "RoundCommitted",
    "RoundFinalised",
    "AbortDecided",
    "RoundAborted",
    "StudyConcluded",
)
"""What a round consists of, each with its number as the first indexed field."""

STANDING_EVENTS = ("HospitalsAuthorised", "HospitalsRevoked")
"""What the provider decides about hospitals."""


@dataclass(frozen=True)
class TxLocation:
    """Where an event stands on the chain: transaction hash (0x), block number, block time in seconds."""

    transaction: str
    block: int
    time: int


@dataclass(frozen=True)
class StudyRegisteredEvent:
    """A study with its initial model."""

    study: StudyId
    initial_model: Sha256
    location: TxLocation


@dataclass(frozen=True)
class NodesSetEvent:
    """A study's nodes from an epoch (the first is 1) on, and how many of them decide."""

    study: StudyId
    epoch: int
    nodes: tuple[Address, ...]
    threshold: int
    location: TxLocation


@dataclass(frozen=True)
class NodeSuspendedEvent:
    """A node that decided a round twice."""

    study: StudyId
    node: Address
    round: RoundId
    location: TxLocation


@dataclass(frozen=True)
class ReleasedEvent:
    """A hospital that a majority of nodes released from quarantine, `after_round` being the study's current one."""

    study: StudyId
    hospital: Address
    after_round: RoundId
    location: TxLocation


@dataclass(frozen=True)
class OpenedEvent:
    """A round's terms; `sealing_keys` is the joint digest of the nodes' key records; deadlines in block time."""

    round: RoundId
    study: StudyId
    study_digest: Sha256
    previous_model: Sha256
    sealing_keys: Sha256
    commit_deadline: int
    result_deadline: int
    location: TxLocation


@dataclass(frozen=True)
class CommittedDirectlyEvent:
    """A manifest that a hospital put on the ledger itself."""

    round: RoundId
    hospital: Address
    manifest: Sha256
    location: TxLocation


@dataclass(frozen=True)
class CommittedEvent:
    """The set that takes part: the Merkle root of its manifests."""

    round: RoundId
    root: Sha256
    location: TxLocation


@dataclass(frozen=True)
class FinalisedEvent:
    """What a majority decided; bit i of `signers` is the study's node i, bit i of `verdicts` its hospital i."""

    round: RoundId
    verdicts: int
    new_model: Sha256
    record: Sha256
    signers: int
    location: TxLocation


@dataclass(frozen=True)
class AbortedEvent:
    """A round that ended without a model, and the state that it was in."""

    round: RoundId
    aborted_from: RoundStatus
    location: TxLocation


@dataclass(frozen=True)
class AbortDecidedEvent:
    """Why a majority ended a round without a model, and which hospitals it blames.

    Bit i of `signers` is the study's node i.
    """

    round: RoundId
    reason: str
    blamed: tuple[Address, ...]
    signers: int
    location: TxLocation


@dataclass(frozen=True)
class ConcludedEvent:
    """A study that a majority concluded by a round's model, why, and the digest of what they decided it by.

    Bit i of `signers` is the study's node i.
    """

    round: RoundId
    study: StudyId
    reason: str
    evidence: Sha256
    signers: int
    location: TxLocation


@dataclass(frozen=True)
class MovedOnEvent:
    """A hospital that moved on to another key."""

    previous: Address
    successor: Address
    location: TxLocation


@dataclass(frozen=True)
class StandingEvent:
    """Hospitals, by their keys then, that the provider authorised, or else revoked."""

    hospitals: tuple[Address, ...]
    authorised: bool
    location: TxLocation


Event = (
    StudyRegisteredEvent
    | NodesSetEvent
    | NodeSuspendedEvent
    | MovedOnEvent
    | StandingEvent
    | ReleasedEvent
    | OpenedEvent
    | CommittedDirectlyEvent
    | CommittedEvent
    | FinalisedEvent
    | AbortDecidedEvent
    | AbortedEvent
    | ConcludedEvent
)


def parse(name: str, fields: Mapping[str, Any], location: TxLocation) -> Event | None:
    """The event `name` with its decoded `fields`; None for what nobody asks of the ledger's history."""
    match name:
        case "HospitalKeyRotated":
            return MovedOnEvent(Address(fields["previous"]), Address(fields["next"]), location)
        case "HospitalsAuthorised" | "HospitalsRevoked":
            hospitals = tuple(Address(hospital) for hospital in fields["hospitals"])
            return StandingEvent(hospitals, name == "HospitalsAuthorised", location)
        case "StudyRegistered":
            return StudyRegisteredEvent(_study(fields), _digest(fields["initialModel"]), location)
        case "NodesSet":
            nodes = tuple(Address(node) for node in fields["nodes"])
            return NodesSetEvent(_study(fields), fields["epoch"], nodes, fields["threshold"], location)
        case "NodeSuspended":
            return NodeSuspendedEvent(_study(fields), Address(fields["node"]), RoundId(fields["round"]), location)
        case "HospitalReleased":
            return ReleasedEvent(_study(fields), Address(fields["hospital"]), RoundId(fields["afterRound"]), location)
        case "RoundOpened":
            return OpenedEvent(
                RoundId(fields["round"]),
                _study(fields),
                _digest(fields["studyDigest"]),
                _digest(fields["previousModel"]),
                _digest(fields["keyRecords"]),
                fields["commitDeadline"],
                fields["resultDeadline"],
                location,
            )
        case "CommittedDirectly":
            return CommittedDirectlyEvent(
                RoundId(fields["round"]), Address(fields["hospital"]), _digest(fields["manifest"]), location
            )
        case "RoundCommitted":
            return CommittedEvent(RoundId(fields["round"]), _digest(fields["root"]), location)
        case "RoundFinalised":
            model = _digest(fields["newModel"])
            record = _digest(fields["record"])
            return FinalisedEvent(
                RoundId(fields["round"]), fields["verdicts"], model, record, fields["signers"], location
            )
        case "AbortDecided":
            blamed = tuple(Address(hospital) for hospital in fields["blamed"])
            reason = _word(fields["reason"])
            return AbortDecidedEvent(RoundId(fields["round"]), reason, blamed, fields["signers"], location)
        case "StudyConcluded":
            reason = _word(fields["reason"])
            evidence = _digest(fields["evidence"])
            return ConcludedEvent(
                RoundId(fields["round"]), _study(fields), reason, evidence, fields["signers"], location
            )
        case "RoundAborted":
            return AbortedEvent(RoundId(fields["round"]), STATUSES[fields["abortedFrom"]], location)
        case _:
            return None


def _word(value: bytes) -> str:
    return bytes(value).rstrip(b"\0").decode("ascii", "backslashreplace")


def _digest(value: bytes) -> Sha256:
    return Sha256(bytes(value).hex())


def _study(fields: Mapping[str, Any]) -> StudyId:
    return StudyId(bytes(fields["studyId"]).hex())
