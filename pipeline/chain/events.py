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


@dataclass(frozen=True)
class Place:
    """Where an event stands on the chain: transaction hash (0x), block number, block time in seconds."""

    transaction: str
    block: int
    time: int


@dataclass(frozen=True)
class StudyRegisteredEvent:
    """A study with its nodes and initial model."""

    study: StudyId
    nodes: tuple[Address, ...]
    threshold: int
    initial_model: Sha256
    place: Place


@dataclass(frozen=True)
class OpenedEvent:
    """A round's terms; `sealing_keys[i]` is the digest of the study's node i's key record; deadlines in block time."""

    round: RoundId
    study: StudyId
    study_digest: Sha256
    previous_model: Sha256
    sealing_keys: tuple[str, ...]
    commit_deadline: int
    result_deadline: int
    place: Place


@dataclass(frozen=True)
class CommittedEvent:
    """The set that takes part: the Merkle root of `count` manifests."""

    round: RoundId
    root: Sha256
    count: int
    committer: Address
    place: Place


@dataclass(frozen=True)
class FinalisedEvent:
    """What a majority decided; bit i of `signers` is the study's node i, bit i of `verdicts` its hospital i."""

    round: RoundId
    study: StudyId
    verdicts: int
    previous_model: Sha256
    new_model: Sha256
    record: Sha256
    signers: int
    place: Place


@dataclass(frozen=True)
class AbortedEvent:
    """A round that ended without a model, and the state that it was in."""

    round: RoundId
    study: StudyId
    aborted_from: RoundStatus
    place: Place


Event = StudyRegisteredEvent | OpenedEvent | CommittedEvent | FinalisedEvent | AbortedEvent


def parse(name: str, fields: Mapping[str, Any], place: Place) -> Event | None:
    """The event `name` with its decoded `fields`; None for events of no study or round."""
    match name:
        case "StudyRegistered":
            nodes = tuple(Address(node) for node in fields["nodes"])
            return StudyRegisteredEvent(_study(fields), nodes, fields["threshold"], _digest(fields["initialModel"]), place)
        case "RoundOpened":
            return OpenedEvent(
                RoundId(fields["round"]),
                _study(fields),
                _digest(fields["studyDigest"]),
                _digest(fields["previousModel"]),
                tuple(bytes(key).hex() for key in fields["sealingKeys"]),
                fields["commitDeadline"],
                fields["resultDeadline"],
                place,
            )
        case "RoundCommitted":
            return CommittedEvent(RoundId(fields["round"]), _digest(fields["root"]), fields["count"], Address(fields["committer"]), place)
        case "RoundFinalised":
            return FinalisedEvent(
                RoundId(fields["round"]),
                _study(fields),
                fields["verdicts"],
                _digest(fields["previousModel"]),
                _digest(fields["newModel"]),
                _digest(fields["record"]),
                fields["signers"],
                place,
            )
        case "RoundAborted":
            return AbortedEvent(RoundId(fields["round"]), _study(fields), STATUSES[fields["abortedFrom"]], place)
        case _:
            return None


def _digest(value: bytes) -> Sha256:
    return Sha256(bytes(value).hex())


def _study(fields: Mapping[str, Any]) -> StudyId:
    return StudyId(bytes(fields["studyId"]).hex())
