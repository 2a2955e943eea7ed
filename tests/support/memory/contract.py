"""The ledger's contract in memory: the rules of `contracts/Ledger.sol`, told again in Python.

Nodes' changes and hospitals' new keys are not here; they have their tests on a real chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from coincurve import PublicKey
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from pipeline.domain import Sha256
from pipeline.evidence import merkle
from pipeline.evidence.canonical import joint_digest

NONE, OPEN, COMMITTED, FINALISED, ABORTED = range(5)
UNKNOWN, REGISTERED, AUTHORISED, REVOKED, RETIRED = range(5)

ZERO = "0x" + "00" * 20
_LEAST_FOR_RESULT = 10
_LONGEST_GRACE = 60

_DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_RESULT = (
    "Result(uint64 round,bytes32 studyDigest,bytes32 commitRoot,uint256 verdicts,"
    "bytes32 previousModel,bytes32 newModel,bytes32 record)"
)
_ABORT = (
    "Abort(uint64 round,bytes32 studyDigest,bytes32 commitRoot,bytes32 previousModel,bytes32 reason,address[] blamed)"
)
_CONCLUSION = "Conclusion(uint64 round,bytes32 reason,bytes32 evidence)"
_RELEASE = "Release(bytes32 studyId,uint32 change,address hospital)"

Signature = tuple[bytes, bytes]
"""r and vs (EIP-2098)."""
Terms = tuple[bytes, bytes, int]
"""Study digest, previous model, result deadline."""
Emitted = tuple[str, tuple[Any, ...]]
"""An event's name and its fields in the order of the ABI."""


class RevertError(Exception):
    """The contract's custom error, by name and arguments."""

    def __init__(self, error: str, *arguments: Any) -> None:
        super().__init__(error)
        self.error = error
        self.arguments = arguments


@dataclass
class Study:
    """One study."""

    provider: str
    initial: bytes
    nodes: list[str]
    continued: int = 0
    suspended: set[str] = field(default_factory=set)
    changes: int = 0
    last_round: int = 0
    previous_round: int = 0

    @property
    def threshold(self) -> int:
        return len(self.nodes) // 2 + 1


@dataclass
class Round:
    """One round."""

    study: bytes
    terms: Terms
    commit_deadline: int
    block: int
    status: int = OPEN
    direct: dict[str, bytes] = field(default_factory=dict)
    root: bytes = b""
    new_model: bytes = b""
    concludes: bool = False

    @property
    def set_deadline(self) -> int:
        grace = min((self.terms[2] - self.commit_deadline) // 2, _LONGEST_GRACE) if self.direct else 0
        return self.commit_deadline + grace


@dataclass
class Contract:
    """State and rules; `now`, `block` and `sender` are those of the transaction that runs."""

    owner: str
    chain_id: int
    address: str
    born: int
    hospitals_: dict[str, int] = field(default_factory=dict)
    studies_: dict[bytes, Study] = field(default_factory=dict)
    rounds_: dict[int, Round] = field(default_factory=dict)
    now: int = 0
    block: int = 0
    sender: str = ZERO

    # --------------------------------------------------------------- hospitals

    def registerHospital(self) -> Iterator[Emitted]:
        if self.sender in self.hospitals_:
            raise RevertError("HospitalAlreadyRegistered", self.sender)
        self.hospitals_[self.sender] = REGISTERED
        yield "HospitalRegistered", (self.sender,)

    def authoriseHospitals(self, accounts: Sequence[str]) -> Iterator[Emitted]:
        self._only_owner()
        for account in accounts:
            if (status := self.hospitals(account)) not in (REGISTERED, REVOKED):
                raise RevertError("HospitalNotAuthorisable", account, status)
            self.hospitals_[account] = AUTHORISED
        yield "HospitalsAuthorised", (accounts,)

    def revokeHospitals(self, accounts: Sequence[str]) -> Iterator[Emitted]:
        self._only_owner()
        for account in accounts:
            self._authorised(account)
            self.hospitals_[account] = REVOKED
        yield "HospitalsRevoked", (accounts,)

    # ----------------------------------------------------------------- studies

    def registerStudy(self, study_id: bytes, nodes: Sequence[str], initial: bytes) -> Iterator[Emitted]:
        self._only_owner()
        if study_id in self.studies_:
            raise RevertError("StudyAlreadyRegistered", study_id)
        _no_zero(study_id, initial)
        if not 3 <= len(nodes) <= 16:
            raise RevertError("InvalidNodeCount", len(nodes))
        for node in nodes:
            if node == ZERO or nodes.count(node) > 1:
                raise RevertError("InvalidNode", node)
        self.studies_[study_id] = study = Study(self.sender, initial, list(nodes))
        yield "StudyRegistered", (study_id, initial)
        yield "NodesSet", (study_id, 1, nodes, study.threshold)

    def continueRound(self, study_id: bytes, nodes: Sequence[str], number: int, model: bytes) -> Iterator[Emitted]:
        self._only_owner()
        found = self._in(number, FINALISED)
        if found.new_model != model:
            raise RevertError("StalePreviousModel", model)
        before = self.studies_[found.study]
        stay = sum(node in set(before.nodes) - before.suspended for node in nodes)
        if stay < before.threshold:
            raise RevertError("NoMajority", found.study, stay, before.threshold)
        yield from self.registerStudy(study_id, nodes, model)
        self.studies_[study_id].continued = number
        yield "StudyContinues", (study_id, number)

    def releaseHospital(self, study_id: bytes, hospital: str, signatures: Sequence[Signature]) -> Iterator[Emitted]:
        study = self._idle(study_id)
        words = encode(["bytes32", "uint32", "address"], [study_id, study.changes + 1, hospital])
        self._majority(study_id, keccak(keccak(_RELEASE.encode()) + words), signatures)
        study.changes += 1
        yield "HospitalReleased", (study_id, hospital, self._current(study))

    def reportEquivocation(self, number: int, first: Any, second: Any) -> Iterator[Emitted]:
        hashes = []
        signers = []
        for words, signature, aborts in (first, second):
            hashes.append(keccak(keccak((_ABORT if aborts else _RESULT).encode()) + _uint(number) + b"".join(words)))
            signers.append(self._signer(hashes[-1], signature))
        if hashes[0] == hashes[1] or signers[0] != signers[1]:
            raise RevertError("NoEquivocation")
        study_id = self.rounds_[number].study if number in self.rounds_ else bytes(32)
        self._position(study_id, signers[0])
        self.studies_[study_id].suspended.add(signers[0])
        yield "NodeSuspended", (study_id, signers[0], number)

    # ------------------------------------------------------------------ rounds

    def openRound(
        self,
        number: int,
        study_id: bytes,
        study_digest: bytes,
        previous: bytes,
        keys: bytes,
        commit_deadline: int,
        result_deadline: int,
    ) -> Iterator[Emitted]:
        study = self.studies_.get(study_id)
        if study is None:
            raise RevertError("UnknownStudy", study_id)
        if self.sender != study.provider:
            raise RevertError("NotProvider", self.sender)
        if not 0 < number < 1 << 40 or number in self.rounds_:
            raise RevertError("InvalidRoundId", number)
        current = self._current(self._idle(study_id))
        if current and self.rounds_[current].concludes:
            raise RevertError("AlreadyConcluded", study_id, current)
        if previous != (self.rounds_[current].new_model if current else study.initial):
            raise RevertError("StalePreviousModel", previous)
        _no_zero(study_digest, keys)
        if commit_deadline <= self.now or result_deadline < commit_deadline + _LEAST_FOR_RESULT:
            raise RevertError("InvalidDeadlines", commit_deadline, result_deadline, self.now)
        terms = (study_digest, previous, result_deadline)
        self.rounds_[number] = Round(study_id, terms, commit_deadline, self.block)
        study.previous_round = current
        study.last_round = number
        yield "RoundOpened", (number, study_id, study_digest, previous, keys, commit_deadline, result_deadline)

    def commit(self, number: int, terms: Terms, manifest: bytes, membership: Any) -> Iterator[Emitted]:
        found = self._with_terms(number, self._in(number, OPEN), terms)
        self._in_time(number, found.commit_deadline)
        _no_zero(manifest)
        account, rest, proof = membership
        self._authorised(self.sender)
        members = _root_of(bytes.fromhex(account[2:]).rjust(32, b"\0"), proof)
        if account != self.sender or joint_digest([Sha256(members.hex()), Sha256(rest.hex())]) != terms[0].hex():
            raise RevertError("NotAMember", number, self.sender)
        if account in found.direct:
            raise RevertError("AlreadyCommitted", number, account)
        found.direct[account] = manifest
        yield "CommittedDirectly", (number, account, manifest)

    def commitRound(
        self, number: int, root: bytes, included: Sequence[Any] | None = None, terms: Terms | None = None
    ) -> Iterator[Emitted]:
        found = self._in(number, OPEN)
        if terms is not None:
            self._with_terms(number, found, terms)
            self._in_time(number, found.set_deadline)
        if len(included or ()) != len(found.direct):
            raise RevertError("DirectCommitsIgnored", number, len(included or ()), len(found.direct))
        if terms is None:
            self._in_time(number, found.commit_deadline)
        last = ZERO
        for hospital, proof in included or ():
            manifest = found.direct.get(hospital)
            if hospital <= last or manifest is None or _root_of(manifest, proof) != root:
                raise RevertError("DirectCommitNotUnderRoot", number, hospital)
            last = hospital
        study = self.studies_[found.study]
        if self.sender != self.owner and self.sender not in set(study.nodes) - study.suspended:
            raise RevertError("NotCommitter", found.study, self.sender)
        _no_zero(root)
        found.status = COMMITTED
        found.root = root
        yield "RoundCommitted", (number, root)

    def finaliseRound(
        self,
        number: int,
        terms: Terms,
        root: bytes,
        outcome: tuple[int, bytes, bytes],
        signatures: Sequence[Signature],
    ) -> Iterator[Emitted]:
        found = self._with_terms(number, self._in(number, COMMITTED), terms, root)
        self._in_time(number, terms[2])
        verdicts, new_model, record = outcome
        _no_zero(new_model, record)
        digest, previous, _ = terms
        words = [_uint(number), digest, root, _uint(verdicts), previous, new_model, record]
        signers = self._majority(found.study, keccak(keccak(_RESULT.encode()) + b"".join(words)), signatures)
        found.status = FINALISED
        found.new_model = new_model
        yield "RoundFinalised", (number, verdicts, new_model, record, signers)

    def abortRound(self, number: int, terms: Terms, root: bytes) -> Iterator[Emitted]:
        found = self.rounds_.get(number)
        if found is not None and found.status == OPEN:
            deadline = self._with_terms(number, found, terms).set_deadline
        else:
            found = self._with_terms(number, self._in(number, COMMITTED), terms, root)
            deadline = terms[2]
        if self.now <= deadline:
            raise RevertError("DeadlineNotPassed", number, deadline, self.now)
        before = found.status
        found.status = ABORTED
        yield "RoundAborted", (number, before)

    def abortRoundByNodes(
        self, number: int, terms: Terms, root: bytes, cause: Any, signatures: Sequence[Signature]
    ) -> Iterator[Emitted]:
        found = self._with_terms(number, self._in(number, COMMITTED), terms, root)
        reason, blamed = cause
        _no_zero(reason)
        accounts = keccak(b"".join(bytes.fromhex(account[2:]).rjust(32, b"\0") for account in blamed))
        words = [_uint(number), terms[0], root, terms[1], reason, accounts]
        signers = self._majority(found.study, keccak(keccak(_ABORT.encode()) + b"".join(words)), signatures)
        found.status = ABORTED
        yield "AbortDecided", (number, reason, blamed, signers)
        yield "RoundAborted", (number, COMMITTED)

    def concludeWith(
        self, number: int, reason: bytes, evidence: bytes, signatures: Sequence[Signature]
    ) -> Iterator[Emitted]:
        study_id = self.rounds_[number].study if number in self.rounds_ else bytes(32)
        current = self._current(self._idle(study_id))
        if current != number:
            raise RevertError("NotCurrent", number, current)
        found = self.rounds_[number]
        if found.concludes:
            raise RevertError("AlreadyConcluded", study_id, number)
        _no_zero(reason, evidence)
        content = keccak(keccak(_CONCLUSION.encode()) + _uint(number) + reason + evidence)
        signers = self._majority(study_id, content, signatures)
        found.concludes = True
        yield "StudyConcluded", (number, study_id, reason, evidence, signers)

    # ------------------------------------------------------------------- views

    def deployedInBlock(self) -> int:
        return self.born

    def provider(self) -> str:
        return self.owner

    def hospitals(self, account: str) -> int:
        return self.hospitals_.get(account, UNKNOWN)

    def keyHolder(self, account: str) -> tuple[str, str, int]:
        return (account, account, self.hospitals_[account]) if account in self.hospitals_ else (ZERO, ZERO, UNKNOWN)

    def studies(self, study_id: bytes) -> tuple[Any, ...]:
        study = self.studies_.get(study_id)
        if study is None:
            return [], 0, 0, 0, bytes(32), 0, 0
        running = study.last_round if self._runs(study) else 0
        return study.nodes, study.threshold, 1, study.changes, study.initial, self._current(study), running

    def parentRound(self, study_id: bytes) -> int:
        return self.studies_[study_id].continued if study_id in self.studies_ else 0

    def isNode(self, study_id: bytes, account: str) -> tuple[bool, bool]:
        study = self.studies_.get(study_id)
        return (account in study.nodes, account in study.suspended) if study else (False, False)

    def rounds(self, number: int) -> tuple[bytes, int, int, int, bool]:
        if (found := self.rounds_.get(number)) is None:
            return bytes(32), NONE, 0, 0, False
        return found.study, found.status, found.block, len(found.direct), found.concludes

    def verifyModel(self, number: int, model: bytes) -> bool:
        found = self.rounds_.get(number)
        return found is not None and found.status == FINALISED and found.new_model == model

    def verifyCommit(self, root: bytes, manifest: bytes, proof: Sequence[bytes]) -> bool:
        return merkle.verify(Sha256(root.hex()), Sha256(manifest.hex()), [sibling.hex() for sibling in proof])

    # ------------------------------------------------------------------- rules

    def _only_owner(self) -> None:
        if self.sender != self.owner:
            raise RevertError("NotProvider", self.sender)

    def _authorised(self, account: str) -> None:
        if (status := self.hospitals(account)) != AUTHORISED:
            raise RevertError("HospitalNotAuthorised", account, status)

    def _idle(self, study_id: bytes) -> Study:
        study = self.studies_.get(study_id)
        if study is None:
            raise RevertError("UnknownStudy", study_id)
        if self._runs(study):
            raise RevertError("RoundStillOpen", study_id, study.last_round)
        return study

    def _runs(self, study: Study) -> bool:
        return self._status(study.last_round) in (OPEN, COMMITTED)

    def _status(self, number: int) -> int:
        return self.rounds_[number].status if number in self.rounds_ else NONE

    def _current(self, study: Study) -> int:
        return study.last_round if self._status(study.last_round) == FINALISED else study.previous_round

    def _in(self, number: int, status: int) -> Round:
        if (got := self._status(number)) != status:
            raise RevertError("WrongStatus", number, got, status)
        return self.rounds_[number]

    def _with_terms(self, number: int, found: Round, terms: Terms, root: bytes = b"") -> Round:
        if (found.terms, found.root) != (terms, root if found.status == COMMITTED else b""):
            raise RevertError("StaleTerms", number)
        return found

    def _in_time(self, number: int, deadline: int) -> None:
        if self.now > deadline:
            raise RevertError("DeadlinePassed", number, deadline, self.now)

    def _position(self, study_id: bytes, node: str) -> int:
        is_node, suspended = self.isNode(study_id, node)
        if not is_node:
            raise RevertError("NotANode", study_id, node)
        if suspended:
            raise RevertError("SuspendedNode", study_id, node)
        return self.studies_[study_id].nodes.index(node)

    def _majority(self, study_id: bytes, content: bytes, signatures: Sequence[Signature]) -> int:
        signers = 0
        for signature in signatures:
            bit = 1 << self._position(study_id, node := self._signer(content, signature))
            if signers & bit:
                raise RevertError("DuplicateSigner", node)
            signers |= bit
        if len(signatures) < (threshold := self.studies_[study_id].threshold):
            raise RevertError("NoMajority", study_id, len(signatures), threshold)
        return signers

    def _signer(self, content: bytes, signature: Signature) -> str:
        words = encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [keccak(_DOMAIN.encode()), keccak(b"Wardround"), keccak(b"1"), self.chain_id, self.address],
        )
        r, vs = signature
        number = int.from_bytes(vs)
        raw = r + (number & (1 << 255) - 1).to_bytes(32) + bytes([number >> 255])
        try:
            public = PublicKey.from_signature_and_message(
                raw, keccak(b"\x19\x01" + keccak(words) + content), hasher=None
            )
        except Exception as error:  # coincurve raises many types on malformed bytes
            raise RevertError("ECDSAInvalidSignature") from error
        return "0x" + keccak(public.format(compressed=False)[1:])[-20:].hex()


def _root_of(leaf: bytes, proof: Sequence[bytes]) -> bytes:
    node = keccak(keccak(leaf))
    for sibling in proof:
        node = keccak(min(node, sibling) + max(node, sibling))
    return node


def _no_zero(*digests: bytes) -> None:
    if not all(map(any, digests)):
        raise RevertError("ZeroDigest")


def _uint(value: int) -> bytes:
    return value.to_bytes(32)
