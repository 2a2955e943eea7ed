"""The hospitals' manifests of a round: which are committed, which of them hold, and why a hospital has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.chain.ledger import HospitalStatus
from pipeline.domain import HospitalName, Kind, Sha256
from pipeline.errors import Crowded, EvidenceRejected, Rejected
from pipeline.evidence import merkle
from pipeline.mpc import tally
from pipeline.mpc.envelope import sealed_size
from pipeline.mpc.manifest import Manifest
from pipeline.round.payload import length
from pipeline.round.worker import RoundContext
from pipeline.store import object_keys


@dataclass(frozen=True)
class Committed:
    """The set under the commit root as this node sees it.

    Each hospital has a manifest that holds, or a reason why it is absent.
    """

    listed: Mapping[HospitalName, Sha256]
    """Every hospital in the set, to its manifest's digest."""
    manifests: Mapping[HospitalName, Manifest]
    barred: Mapping[HospitalName, str]
    """Who is out by what the ledger says."""
    absent: Mapping[HospitalName, str]
    """Who is out by what it posted, or did not."""


def committed(ctx: RoundContext, quarantined: frozenset[HospitalName]) -> Committed:
    """Read what the provider committed and what of it holds.

    Raises EvidenceRejected when nothing fits the ledger's root.
    """
    worker = ctx.worker
    round_id = ctx.round_id
    listed = _listed(ctx)
    manifests: dict[HospitalName, Manifest] = {}
    barred: dict[HospitalName, str] = {}
    absent: dict[HospitalName, str] = {}
    for hospital in worker.study.hospitals:
        if (bar := _bar(ctx, hospital, quarantined)) is not None:
            barred[hospital] = bar
        elif hospital not in listed:
            absent[hospital] = absence(ctx, hospital)
        else:
            try:
                manifests[hospital] = checked_manifest(ctx, hospital, listed[hospital])
            except Rejected as error:
                absent[hospital] = _flaw(error)
    if stray := set(listed) - set(worker.study.hospitals):
        raise EvidenceRejected(
            f"round {round_id}: the commit lists {', '.join(sorted(stray))}, which are no hospitals of the study"
        )
    return Committed(listed, manifests, barred, absent)


class WrongLengthError(EvidenceRejected):
    """A manifest announces a vector of another length than the study's model and samples take."""


def checked_manifest(ctx: RoundContext, hospital: HospitalName, digest: Sha256) -> Manifest:
    """A hospital's manifest of this round.

    Raises EvidenceRejected unless signature, validation, shape and length hold.
    """
    worker = ctx.worker
    statement = worker.board.statement(ctx.round_id, Kind.MANIFEST, hospital, digest)
    worker.check(statement, ctx.context)
    manifest = Manifest.parse(statement.body, worker.study.nodes)
    if manifest.hospital != hospital:
        raise EvidenceRejected(f"{hospital}: got a manifest of {manifest.hospital}")
    most = tally.most_tested(len(worker.study.hospitals)) if ctx.study.counted else None
    if (manifest.tested is None) != (most is None) or not 0 <= (manifest.tested or 0) <= (most or 0):
        raise EvidenceRejected(
            f"{hospital}: got counts of {manifest.tested} test records, want"
            f" {'none' if most is None else f'those of 0 to {most}'}"
        )
    validation = worker.board.statement(ctx.round_id, Kind.VALIDATION, hospital, manifest.validation)
    worker.check(validation, ctx.context)
    if validation.body.get("passed") is not True:
        raise EvidenceRejected(f"{hospital}: got a manifest that stands on a failed validation")
    words = length(ctx.study)
    per_envelope = sealed_size(len(worker.study.nodes) - 1, words)
    if manifest.length != words or any(sealed.size != per_envelope for sealed in manifest.envelopes.values()):
        raise WrongLengthError(
            f"{hospital}: got a vector of {manifest.length} words, want {words}: another model or sample count"
        )
    return manifest


def signed_manifests(ctx: RoundContext, hospital: HospitalName) -> tuple[Sha256, ...]:
    """Digests of the manifests that a hospital signed in this round, whether they hold or not.

    Nothing that others wrote there counts. Raises Crowded.
    """
    return tuple(ctx.worker.board.held(ctx.round_id, Kind.MANIFEST, hospital, ctx.check))


def uncommitted(ctx: RoundContext, quarantined: frozenset[HospitalName]) -> dict[HospitalName, str]:
    """Which hospitals had no update to commit, and why as this node sees it, in a round without a commit."""
    reasons = {}
    for hospital in ctx.worker.study.hospitals:
        reason = _bar(ctx, hospital, quarantined) or _fault(ctx, hospital)
        if reason is not None:
            reasons[hospital] = reason
    return reasons


def absence(ctx: RoundContext, hospital: HospitalName) -> str:
    """Why a hospital is not in the commit, from what it posted itself."""
    fault = _fault(ctx, hospital)
    return "no_manifest" if fault in (None, "no_validation") else fault


def _bar(ctx: RoundContext, hospital: HospitalName, quarantined: frozenset[HospitalName]) -> str | None:
    """Why the ledger keeps a hospital out of the round; None when it does not."""
    if hospital in quarantined:
        return "quarantined"
    standing = ctx.standings[hospital]
    return None if standing is HospitalStatus.AUTHORISED else standing.value


def _flaw(error: Rejected) -> str:
    """The reason of a manifest that does not hold."""
    return "wrong_length" if isinstance(error, WrongLengthError) else "forged_manifest"


def _fault(ctx: RoundContext, hospital: HospitalName) -> str | None:
    """What of a hospital's own statements keeps its update from being taken in; None when nothing does."""
    try:
        return _own_fault(ctx, hospital)
    except Crowded:
        return "crowded_place"


def _own_fault(ctx: RoundContext, hospital: HospitalName) -> str | None:
    manifests = signed_manifests(ctx, hospital)
    if len(manifests) > 1:
        return "conflicting_manifests"
    if manifests:
        try:
            checked_manifest(ctx, hospital, manifests[0])
        except Rejected as error:
            return _flaw(error)
        return None
    if ctx.worker.board.digests(object_keys.statement(ctx.round_id, Kind.MANIFEST, hospital)):
        return "forged_manifest"
    try:
        validation = ctx.worker.board.only(ctx.round_id, Kind.VALIDATION, hospital, ctx.check)
    except Crowded:
        raise
    except Rejected:
        return "no_validation"
    return "no_manifest" if validation.body.get("passed") is True else "invalid_data"


def _listed(ctx: RoundContext) -> dict[HospitalName, Sha256]:
    key_prefix = object_keys.commit(ctx.round_id)
    for digest in ctx.worker.board.digests(key_prefix):
        try:
            listed = ctx.worker.board.json(key_prefix, digest)
            if merkle.root([Sha256(value) for value in dict.fromkeys(listed.values())]) == ctx.commit_root:
                return {HospitalName(name): Sha256(value) for name, value in listed.items()}
        except (Rejected, ValueError, TypeError):
            continue
    raise EvidenceRejected(
        f"round {ctx.round_id}: got no list of manifests under the ledger's commit root {ctx.commit_root[:16]}"
    )
