"""Consent: a worker does nothing for a study digest that its owner has not approved, or no longer approves.

An owner's decisions about one study are numbered, since the same digest may be approved, withdrawn and approved again;
a consent holds the very terms that it covers. `approvals/` holds the consents in force and is all that a worker asks;
`decisions/` keeps each decision as it was signed, to be published (`pipeline.consent.consent_log`).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.consent import backbone_file
from pipeline.domain import Address, Context, Kind, RoundId, Sha256, Statement, sha256_text
from pipeline.errors import EvidenceRejected, NotApproved, Refused
from pipeline.evidence import signing
from pipeline.evidence.membership import study_digest
from pipeline.host.files import locked, write_atomic
from pipeline.site.consortium import Consortium, LedgerLocation
from pipeline.site.identity import Identity
from pipeline.study.study import Study

_NO_MODEL = Sha256("0" * 64)
_FIELDS = {Kind.CONSENT: {"study", "digest", "number", "terms"}, Kind.WITHDRAWAL: {"study", "digest", "number"}}


@dataclass(frozen=True)
class Decision:
    """What an owner signed about one version of a study."""

    signer: str
    study: str
    digest: Sha256
    number: int
    """Counts the owner's decisions about this study, from 1."""
    given: bool
    """False for a withdrawal."""
    terms: Mapping[str, Any] | None
    """What a consent covers, as `Study.terms` says it."""


def approve(identity: Identity, study: Study, consortium: Consortium, expected: Sha256 | None = None) -> Sha256:
    """Sign consent to the study's present terms into the actor's own folder, once.

    Raises Refused when they are not those `expected`, or the study's backbone is not at hand; EvidenceRejected where
    that is none.
    """
    terms = study.terms(consortium)
    digest = _as_expected(study, study_digest(terms), expected)
    with _journal(identity, study.name):
        try:
            require(identity, study.name, digest, consortium.ledger)
        except NotApproved:
            backbone_file.require(identity, study)
            consent = _decide(identity, Kind.CONSENT, study.name, digest, consortium.ledger, {"terms": terms})
            write_atomic(_path(identity, digest), consent)
    return digest


def withdraw(identity: Identity, study: Study, consortium: Consortium, expected: Sha256 | None = None) -> Sha256:
    """Take back the consent to the study's present terms: its worker is absent from now on.

    Raises Refused when there is none.
    """
    digest = _as_expected(study, study.digest(consortium), expected)
    with _journal(identity, study.name):
        path = _path(identity, digest)
        if not path.exists() and not given(identity, study.name, digest, consortium.ledger):
            raise Refused(
                f"{identity.name}: study {study.name} with digest {digest[:16]} is not approved; there is nothing to"
                " withdraw"
            )
        # The worker stops first: whatever happens to the statement, it does nothing more.
        path.unlink(missing_ok=True)
        _decide(identity, Kind.WITHDRAWAL, study.name, digest, consortium.ledger, {})
    return digest


def require(identity: Identity, study: str, digest: Sha256, ledger: LedgerLocation) -> None:
    """Raise NotApproved unless the owner has signed consent to this very digest and the terms under it."""
    try:
        decision = read(signing.from_bytes(_path(identity, digest).read_bytes()), digest, ledger, identity.key.address)
        if not decision.given or decision.study != study:
            raise EvidenceRejected(f"got a decision about {decision.study}, want consent to {study}")
    except FileNotFoundError as error:
        raise NotApproved(
            f"{identity.name}: study {study} has digest {digest[:16]}, which the owner has not approved; read it with "
            f"`wardround study show {study}`, then `wardround study approve {study} --as {identity.name}`"
        ) from error
    except EvidenceRejected as error:
        raise NotApproved(f"{identity.name}: the consent to study {study} is not the owner's: {error}") from error


def read(statement: Statement, digest: Sha256, ledger: LedgerLocation, address: Address) -> Decision:
    """The decision about `digest` that `address` signed.

    Raises EvidenceRejected unless each field fits, the terms' own digest too.
    """
    kind = statement.kind
    body = statement.body
    if kind not in _FIELDS or set(body) != _FIELDS[kind]:
        raise EvidenceRejected(
            f"{statement.signer}: got a {kind} of {', '.join(sorted(body))}; want a consent or withdrawal, with its"
            " fields"
        )
    if body["digest"] != digest:
        raise EvidenceRejected(f"{statement.signer}: got a {kind} about another digest, want {digest[:16]}")
    number = body["number"]
    study = body["study"]
    terms = body.get("terms")
    if type(number) is not int or number < 1 or not isinstance(study, str):
        raise EvidenceRejected(f"{statement.signer}: got a {kind} without a study's name or a number from 1")
    if kind is Kind.CONSENT and not _covers(terms, study, digest):
        raise EvidenceRejected(
            f"{statement.signer}: got a consent to {digest[:16]} whose terms have another digest or name another study"
        )
    signing.check(statement, kind, _context(digest, ledger), address)
    return Decision(statement.signer, study, digest, number, kind is Kind.CONSENT, terms)


def kept(identity: Identity, study: str, ledger: LedgerLocation) -> tuple[Decision, ...]:
    """The owner's decisions about a study as they lie in its own folder, oldest first.

    Files that do not hold are left out.
    """
    decisions = []
    for _, data in statements(identity, study):
        try:
            statement = signing.from_bytes(data)
            digest = sha256_text(statement.body.get("digest"), "digest")
            decisions.append(read(statement, digest, ledger, identity.key.address))
        except EvidenceRejected:
            continue
    return tuple(decisions)


def last_consent(identity: Identity, study: str, ledger: LedgerLocation) -> Decision | None:
    """The owner's newest consent to any version of a study, by its own folder."""
    return next((decision for decision in reversed(kept(identity, study, ledger)) if decision.given), None)


def given(identity: Identity, study: str, digest: Sha256, ledger: LedgerLocation) -> bool | None:
    """Whether the owner's last decision about this digest is consent; None when there is none."""
    return next(
        (decision.given for decision in reversed(kept(identity, study, ledger)) if decision.digest == digest), None
    )


def statements(identity: Identity, study: str) -> list[tuple[Path, bytes]]:
    """Each decision's file and bytes, oldest first."""
    files = (path for path in _decisions(identity, study).glob("*.json") if path.stem.isdecimal())
    return [(path, path.read_bytes()) for path in sorted(files, key=lambda path: int(path.stem))]


def take_back(identity: Identity, decision: Decision, data: bytes) -> bool:
    """Put a published decision into the actor's folder again, where none of its number lies; whether it did."""
    path = _decisions(identity, decision.study) / f"{decision.number}.json"
    with _journal(identity, decision.study):
        if path.exists():
            return False
        write_atomic(path, data)
    return True


def _decide(
    identity: Identity, kind: Kind, study: str, digest: Sha256, ledger: LedgerLocation, more: Mapping[str, Any]
) -> bytes:
    made = statements(identity, study)
    number = int(made[-1][0].stem) + 1 if made else 1
    body = {"study": study, "digest": digest, "number": number, **more}
    signed = signing.to_bytes(signing.sign(kind, identity.name, body, _context(digest, ledger), identity.key))
    write_atomic(_decisions(identity, study) / f"{number}.json", signed)
    return signed


def _as_expected(study: Study, digest: Sha256, expected: Sha256 | None) -> Sha256:
    if expected is not None and digest != expected:
        raise Refused(
            f"study {study.name}: got digest {expected[:16]} to decide about, but the study's is {digest[:16]} now: it"
            " has changed; read what it is now, then decide"
        )
    return digest


def _covers(terms: object, study: str, digest: Sha256) -> bool:
    try:
        return isinstance(terms, dict) and terms["study"]["name"] == study and study_digest(terms) == digest
    except (AttributeError, EvidenceRejected, KeyError, TypeError, ValueError):
        return False


def _context(digest: Sha256, ledger: LedgerLocation) -> Context:
    return Context(ledger.chain_id, Address(ledger.contract), digest, RoundId(0), _NO_MODEL)


def _journal(identity: Identity, study: str) -> AbstractContextManager[None]:
    return locked(_decisions(identity, study) / "lock")


def _decisions(identity: Identity, study: str) -> Path:
    return identity.home / "decisions" / study


def _path(identity: Identity, digest: Sha256) -> Path:
    return identity.home / "approvals" / f"{digest}.json"
