"""Every error that Wardround raises on purpose, one tree.

WardroundError
├── Misconfigured              a study, a consortium file or an installation is wrong; nothing was started
│   └── InvalidFile            a file that people write: names file, field, value and what is allowed
│       └── InvalidStudy       a study's
├── Refused                    somebody asked for what this worker must not do; never retried
│   ├── NotApproved            the owner has not approved this study digest
│   ├── SecondOpening          a second aggregate over another accepted set
│   ├── ConflictingVote        a vote that differs from the one persisted
│   └── ContractRefused        the ledger's contract reverted, with its custom error and arguments
├── Rejected                   what came in does not hold; its sender is absent from the round
│   ├── FileRejected           records that their data set cannot read: file, row, what is allowed, never a value
│   ├── DataRejected           records that fail the data contract, with the failed expectations
│   ├── UpdateRejected         an update with NaN, infinity, overflow or another length
│   ├── EvidenceRejected       a signature, digest, proof or context that does not fit
│   │   ├── ObjectMissing      an object of the store that expired or was never written
│   │   └── Crowded            a place that holds more than any round needs; nothing in it is read
│   └── EnvelopeRejected       an envelope that is missing, damaged, replayed or meant for another
├── RoundAborted               the round cannot end with a model; the previous one stays
│   └── TooFew                 too few hospitals took part or were accepted: every node signs the round's end
├── EngineFailed               the encrypted computation ended without an output; tried again while the round lasts
│   └── PeerGaveUp             a party that is needed has signed the round's end: no further try can succeed
└── Unavailable                a service or a peer did not answer; a retry may cure it
    └── Silent                 nodes that a round waits for said nothing in time, by name

A message says what was got, what was wanted and what to do next, and never a patient record's value.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping


class _Brief(reprlib.Repr):
    """Short for whatever somebody wrote: long, wide, deep, or a number that Python does not print."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 120
        self.maxlevel = 3

    def repr_int(self, value: int, level: int) -> str:
        """Python refuses to write out an integer of more than some thousand digits."""
        return super().repr_int(value, level) if value.bit_length() < 1024 else f"a number of {value.bit_length()} bits"


_BRIEF = _Brief()


def shown(value: object) -> str:
    """A value as a message shows it: its repr, and a part of it where that is long."""
    return _BRIEF.repr(value)


class WardroundError(Exception):
    """Base of all errors that Wardround raises on purpose."""


class Misconfigured(WardroundError):
    """A study, a consortium file or an installation is wrong."""


class InvalidFile(Misconfigured):
    """A file that people write is wrong: names file, field, value and what is allowed."""

    def __init__(self, file: str, field: str, got: object, wanted: str) -> None:
        super().__init__(f"{file}: {field}: got {shown(got)}, want {wanted}")
        self.file = file
        self.field = field
        self.got = got
        self.wanted = wanted


class InvalidStudy(InvalidFile):
    """A study file is wrong."""


class Refused(WardroundError):
    """A worker was asked for something that it must not do."""


class NotApproved(Refused):
    """The worker's owner has not approved the study digest."""


class SecondOpening(Refused):
    """A node was asked to open a second aggregate for one commit."""


class ConflictingVote(Refused):
    """A node was asked to sign a vote that differs from the one it persisted."""


class ContractRefused(Refused):
    """The ledger's contract reverted `call` with the custom error `error` and its `arguments`."""

    def __init__(self, call: str, error: str, arguments: Mapping[str, str]) -> None:
        values = ", ".join(f"{name}={value}" for name, value in arguments.items())
        super().__init__(
            f"the ledger refused {call}: {error}({values}); contracts/ILedger.sol says when; read the ledger, then"
            " decide"
        )
        self.call = call
        self.error = error
        self.arguments = dict(arguments)


class Rejected(WardroundError):
    """Something that came in does not hold; its sender is absent."""


class FileRejected(Rejected):
    """A file of records is not what its data set takes."""


class DataRejected(Rejected):
    """A hospital's records fail the data contract."""

    def __init__(self, hospital: str, failed: tuple[str, ...]) -> None:
        super().__init__(
            f"{hospital}: records fail the data contract: {'; '.join(failed)}; "
            "mend the data (the hospital's data docs show where) and take part in the next round"
        )
        self.hospital = hospital
        self.failed = failed


class UpdateRejected(Rejected):
    """A model update is not a finite vector of the right length within the public bound."""


class EvidenceRejected(Rejected):
    """A signature, digest, Merkle proof or context does not fit what it claims."""


class ObjectMissing(EvidenceRejected):
    """The store holds no such object: it expired or was never written."""


class Crowded(EvidenceRejected):
    """A place of the store holds more than a round can need, so that nothing in it is read."""


class EnvelopeRejected(Rejected):
    """A sealed envelope is missing, damaged, replayed or meant for another node or round."""


class RoundAborted(WardroundError):
    """The round cannot end with a model; the previous model stays current."""


class TooFew(RoundAborted):
    """Too few hospitals took part or were accepted, for `reason`; `blamed` are those that are out by what they sent."""

    def __init__(self, message: str, reason: str, blamed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.reason = reason
        self.blamed = blamed


class EngineFailed(WardroundError):
    """The encrypted computation ended without an output."""


class PeerGaveUp(EngineFailed):
    """A party that is needed has signed the round's end, so no further try can succeed."""


class Unavailable(WardroundError):
    """A service or a peer did not answer in time; a retry may cure it."""


class Silent(Unavailable):
    """Nodes that a round waits for did not say a `kind` of statement in time."""

    def __init__(self, round_id: int, kind: str, nodes: tuple[str, ...]) -> None:
        super().__init__(f"round {round_id}: got no {kind} from {', '.join(nodes)} in time; are these nodes up?")
        self.kind = kind
        self.nodes = nodes
