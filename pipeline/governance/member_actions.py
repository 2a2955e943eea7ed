"""What hospitals and nodes put on the ledger themselves, past the provider: a manifest, a release from quarantine."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.chain.ledger import StudyState
from pipeline.domain import HospitalName, Kind, NodeName, Release, RoundId, RoundStatus, Sha256
from pipeline.errors import Refused
from pipeline.evidence import signing
from pipeline.evidence.membership import membership
from pipeline.governance.majority import OwnerFile, about_one, majority_signatures, require_next
from pipeline.round.study_history import lineage
from pipeline.round.worker import RoundContext, Worker, hospital_worker, node_worker, provider_worker
from pipeline.site.settings import Settings


def commit_directly(study: str, round_id: RoundId, name: HospitalName, settings: Settings | None = None) -> Sha256:
    """Put the hospital's own manifest on the ledger, so that no set without it can be committed; its digest."""
    ctx = RoundContext.join(hospital_worker(study, name, settings), round_id, RoundStatus.OPEN)
    worker = ctx.worker
    digests = tuple(worker.board.held(round_id, Kind.MANIFEST, name, ctx.check))
    if len(digests) != 1:
        raise Refused(
            f"round {round_id}: {name} posted {len(digests)} manifests, want one; share first, then commit it directly"
        )
    shown = membership(worker.study.terms(worker.consortium), worker.consortium.hospital(name))
    worker.outbox().send(worker.ledger.commit_directly(ctx.state, digests[0], shown), f"commit-directly-{round_id}")
    return digests[0]


class SignedRelease(OwnerFile):
    """A node's signature to a hospital's release from quarantine."""

    study: str
    hospital: str
    change: int
    signer: str
    signature: str


def sign_release(study: str, hospital: HospitalName, node: NodeName, settings: Settings | None = None) -> SignedRelease:
    """A node's signature to a hospital's release from quarantine, to hand to the others.

    Raises Refused when it is not in quarantine.
    """
    worker = node_worker(study, node, settings)
    if hospital not in lineage(worker).quarantined:
        raise Refused(f"{hospital}: got a hospital that study {study} has not in quarantine; nothing to release")
    release = _release(worker, hospital, worker.ledger.study(worker.study_id))
    signature = signing.sign_change(release, worker.ledger.chain_id, worker.ledger.contract, worker.identity.key)
    return SignedRelease(study=study, hospital=hospital, change=release.change, signer=node, signature=signature)


def send_release(signed: Sequence[SignedRelease], settings: Settings | None = None) -> HospitalName:
    """Put a release that a majority of all nodes signed on the ledger; raises Refused when they are fewer."""
    study, name, change = about_one([(one.study, one.hospital, one.change) for one in signed])
    hospital = HospitalName(name)
    worker = provider_worker(study, settings)
    state = worker.ledger.study(worker.study_id)
    require_next(change, study, state)
    release = _release(worker, hospital, state)
    given = {one.signer: one.signature for one in signed}
    call = worker.ledger.release_hospital(
        worker.study_id, release.hospital, majority_signatures(release, given, study, state, worker.ledger)
    )
    worker.outbox().send(call, f"release-{release.study[:16]}-{release.change}")
    return hospital


def _release(worker: Worker, hospital: HospitalName, state: StudyState) -> Release:
    return Release(worker.study_id, state.changes + 1, worker.consortium.hospital(hospital))
