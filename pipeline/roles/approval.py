"""Consent: a worker does nothing for a study digest that its owner has not approved."""

from __future__ import annotations

from pathlib import Path

from pipeline.consortium import LedgerLocation
from pipeline.domain import Address, Context, Kind, RoundId, Sha256
from pipeline.errors import EvidenceRejected, NotApproved
from pipeline.evidence import signing
from pipeline.files import write_atomic
from pipeline.identity import Identity

_NO_MODEL = Sha256("0" * 64)


def approve(identity: Identity, study: str, digest: Sha256, ledger: LedgerLocation) -> None:
    """Write the owner's signed consent to this digest into the actor's own folder."""
    statement = signing.sign(Kind.CONSENT, identity.name, {"study": study, "digest": digest}, _context(digest, ledger), identity.key)
    write_atomic(_path(identity, digest), signing.to_bytes(statement))


def require(identity: Identity, study: str, digest: Sha256, ledger: LedgerLocation) -> None:
    """Raise NotApproved unless the owner has signed consent to this very digest."""
    path = _path(identity, digest)
    try:
        statement = signing.from_bytes(path.read_bytes())
        signing.check(statement, Kind.CONSENT, _context(digest, ledger), identity.key.address)
    except FileNotFoundError as error:
        raise NotApproved(
            f"{identity.name}: study {study} has digest {digest[:16]}, which the owner has not approved; read it with "
            f"`wardround study show {study}`, then `wardround study approve {study} --as {identity.name}`"
        ) from error
    except EvidenceRejected as error:
        raise NotApproved(f"{identity.name}: the consent to study {study} is not the owner's: {error}") from error


def _context(digest: Sha256, ledger: LedgerLocation) -> Context:
    return Context(ledger.chain_id, Address(ledger.contract), digest, RoundId(0), _NO_MODEL)


def _path(identity: Identity, digest: Sha256) -> Path:
    return identity.home / "approvals" / f"{digest}.json"
