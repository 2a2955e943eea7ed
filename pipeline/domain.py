"""The frozen types that stages exchange; imports nothing of ours but the error tree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NewType

from pipeline.errors import EvidenceRejected

RoundId = NewType("RoundId", int)
"""Number of a round on its ledger, from 1; 0 is the initial model."""

Sha256 = NewType("Sha256", str)
"""64 lower-case hexadecimal digits."""

Address = NewType("Address", str)
"""An EIP-55 checksummed account address, 0x and 40 digits."""

StoreKind = Literal["minio", "versitygw"]
"""The server that is the object store."""

HospitalName = NewType("HospitalName", str)
NodeName = NewType("NodeName", str)

UPDATE_BITS = 16
"""Fractional bits of an update and of a global model in integers."""

COORDINATE_CAP = 1 << (UPDATE_BITS + 2)
"""Every coordinate of an update lies strictly within it: 4.0."""

MODEL_CAP = 1 << (UPDATE_BITS + 2)
"""Every coordinate of a global model lies within it."""

NORM_CAP = 1 << (2 * UPDATE_BITS + 8)
"""Largest squared norm of an update in any round (32 fractional bits: 256)."""

INPUT_BITS = 8
"""Fractional bits of every feature and pixel."""

TRIES = 3
"""How often a step of a round is tried."""

LEAST_FOR_RESULT, _LONGEST_GRACE = 10, 60
"""Seconds between the two deadlines of a round at least, and after a direct commit for the set at most (the
contract's)."""

REMEMBERED = 16
"""Finished rounds whose verdicts a hospital looks back on for its back-off; from 1/8 it recovers to 1 within ten
acceptances."""

NAME_PATTERN = r"[a-z][a-z0-9_-]{1,31}"
"""Names of studies, hospitals and nodes: they become folders, queues and object keys."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def sha256_text(value: object, what: str) -> Sha256:
    """Accept `value` as a SHA-256 in hexadecimal; raises EvidenceRejected naming `what`."""
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise EvidenceRejected(f"{what}: got {value!r}, want 64 lower-case hexadecimal digits")
    return Sha256(value)


def tries(hospitals: int, samples: int, panel: int | None) -> int:
    """Of a model on a sample in a round: every hospital's on those of its panel, and the current one on everybody's.

    `samples` of each hospital; without a panel every hospital's model is tried on everybody's too.
    """
    return hospitals * ((hospitals if panel is None else panel) + 1) * samples


def direct_grace(between: int) -> int:
    """Seconds after the commit deadline for a set with a direct commit, when so many lie between the two deadlines."""
    return min(_LONGEST_GRACE, between // 2)


class RoundStatus(StrEnum):
    """A round's state on the ledger; the order is the contract's."""

    NONE = "none"
    OPEN = "open"
    COMMITTED = "committed"
    FINALISED = "finalised"
    ABORTED = "aborted"


class Verdict(StrEnum):
    """What a round decided about one hospital."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    ABSENT = "absent"


class Condition(StrEnum):
    """What the rule against poisoning asks of an update, in this order."""

    SIZE = "size"
    DIRECTION = "direction"
    PEERS = "peers"


class Kind(StrEnum):
    """The signed statements; each is an EIP-712 type of its own in one domain."""

    SEALING_KEY = "SealingKey"
    VALIDATION = "Validation"
    MANIFEST = "Manifest"
    INVENTORY = "Inventory"
    INPUT_SET = "InputSet"
    NONCE = "Nonce"
    COMPONENT_SUMS = "ComponentSums"
    VOTE = "Vote"
    ABORT = "Abort"
    CAUSE = "Cause"
    CONFIRMATION = "Confirmation"
    CONCLUSION = "Conclusion"
    CONSENT = "Consent"
    WITHDRAWAL = "Withdrawal"


class SiteFile(StrEnum):
    """The signed files that sites hand to one another; each is an EIP-712 type of its own."""

    CARD = "Card"
    INVITATION = "Invitation"


@dataclass(frozen=True)
class Context:
    """What every statement and envelope is bound to, so that none can be replayed elsewhere."""

    chain_id: int
    contract: Address
    study_digest: Sha256
    round: RoundId
    previous_model: Sha256


@dataclass(frozen=True)
class Statement:
    """A signed JSON body: `signer` is a hospital's or node's name, `signature` 65 bytes in hexadecimal."""

    kind: Kind
    signer: str
    body: Mapping[str, Any]
    signature: str


@dataclass(frozen=True)
class ObjectRef:
    """Where one stored object lies and what it must contain."""

    bucket: str
    key: str
    version_id: str
    sha256: Sha256
    size: int


@dataclass(frozen=True)
class Result:
    """What a majority of nodes signs about a round (the contract's EIP-712 type `Result`)."""

    round: RoundId
    study_digest: Sha256
    commit_root: Sha256
    verdicts: int
    """Bit i is set when the i-th hospital of the study was accepted."""
    previous_model: Sha256
    new_model: Sha256
    record: Sha256
    """Digest of the canonical, clock-free round record."""


class Reason(StrEnum):
    """Why a majority of nodes ends a round without a model, as the ledger spells it in 32 bytes."""

    TOO_FEW_TOOK_PART = "too_few_took_part"
    TOO_FEW_ACCEPTED = "too_few_accepted"
    ENGINE_FAILED = "engine_failed"


@dataclass(frozen=True)
class Abort:
    """What a majority of nodes signs about a round that cannot end with a model (EIP-712 type `Abort`)."""

    round: RoundId
    study_digest: Sha256
    commit_root: Sha256
    previous_model: Sha256
    reason: Reason
    blamed: tuple[Address, ...]
    """Accounts, in the study's order, of the hospitals that were rejected, or are absent by what they signed."""


class Ending(StrEnum):
    """Why a majority of nodes concludes a study, as the ledger spells it in 32 bytes."""

    TARGET_REACHED = "target_reached"
    NOTHING_GAINED = "nothing_gained"
    MOST_ROUNDS = "most_rounds"


@dataclass(frozen=True)
class Conclusion:
    """What a majority of nodes signs to conclude the study of a finalised round (EIP-712 type `Conclusion`)."""

    round: RoundId
    reason: Ending
    evidence: Sha256
    """Digest of the digests of the confirmations that decided it, by round and hospital."""


Decision = Result | Abort
"""What a node signs to end a round; it signs one of them, once."""


@dataclass(frozen=True)
class NodeSet:
    """A study's next nodes, as its present ones sign them.

    `study` is the ledger's id, `change` numbers the changes that they sign.
    """

    study: str
    change: int
    nodes: tuple[Address, ...]


@dataclass(frozen=True)
class NodeKey:
    """A node's next key, as a majority of the present nodes signs it."""

    study: str
    change: int
    previous: Address
    successor: Address


@dataclass(frozen=True)
class Release:
    """A hospital's release from quarantine, as a majority of the nodes signs it."""

    study: str
    change: int
    hospital: Address


@dataclass(frozen=True)
class HospitalKey:
    """A hospital's next key, as that key itself signs it."""

    previous: Address
    successor: Address


@dataclass(frozen=True)
class Vouch:
    """What a hospital signs to say that the person with this e-mail address belongs to it."""

    hospital: HospitalName
    email: str


Change = NodeSet | NodeKey | Release | HospitalKey
"""What the ledger takes under the signatures of those whom it concerns."""


@dataclass(frozen=True)
class EngineStats:
    """What one party's run cost."""

    cpu_seconds: float
    wall_seconds: float
    bytes_sent: int
    rss_bytes: int
    rounds: int | None = None
