"""What hospitals and nodes put on the ledger themselves, past the service provider.

A manifest, a release from quarantine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.domain import HospitalName, Kind, NodeName, Release, RoundId, RoundStatus, Sha256
from pipeline.errors import EvidenceRejected, Refused
from pipeline.evidence import signing
from pipeline.evidence.membership import membership
from pipeline.round.study_history import lineage
from pipeline.round.worker import RoundContext, Worker, hospital_worker, node_worker, provider_worker
from pipeline.site.settings import Settings


def commit_directly(study: str, round_id: RoundId, name: HospitalName, settings: Settings | None = None) -> Sha256:
    """Put the hospital's own manifest on the ledger, so that no set without it can be committed; its digest."""
    ctx = RoundContext.join(hospital_worker(study, name, settings), round_id, RoundStatus.OPEN)
    worker = ctx.worker
    found = tuple(worker.board.held(round_id, Kind.MANIFEST, name, ctx.check))
    if len(found) != 1:
        raise Refused(
            f"round {round_id}: {name} posted {len(found)} manifests, want one; share first, then commit it directly"
        )
    shown = membership(worker.study.terms(worker.consortium), worker.consortium.hospital(name))
    worker.outbox().send(worker.ledger.commit_directly(ctx.state, found[0], shown), f"commit-directly-{round_id}")
    return found[0]


def sign_release(
    study: str, hospital: HospitalName, node: NodeName, settings: Settings | None = None
) -> dict[str, Any]:
    """A node's signature to a hospital's release from quarantine, to hand to the others.

    Raises Refused when it is not in quarantine.
    """
    worker = node_worker(study, node, settings)
    if hospital not in lineage(worker).quarantined:
        raise Refused(f"{hospital}: got a hospital that study {study} has not in quarantine; nothing to release")
    release = _release(worker, hospital)
    signature = signing.sign_change(release, worker.ledger.chain_id, worker.ledger.contract, worker.identity.key)
    return {"study": study, "hospital": hospital, "change": release.change, "node": node, "signature": signature}


def send_release(signed: Sequence[dict[str, Any]], settings: Settings | None = None) -> HospitalName:
    """Put a release that a majority of all nodes signed on the ledger; raises Refused when they are fewer."""
    if not signed or len({(one.get("study"), one.get("hospital"), one.get("change")) for one in signed}) != 1:
        raise EvidenceRejected(
            f"got {len(signed)} signatures that are not all to one release, want one hospital of one study"
        )
    study = str(signed[0]["study"])
    hospital = HospitalName(str(signed[0]["hospital"]))
    worker = provider_worker(study, settings)
    release = _release(worker, hospital)
    if signed[0]["change"] != release.change:
        raise EvidenceRejected(
            f"{hospital}: got signatures to change {signed[0]['change']} of study {study}, want {release.change}: sign"
            " again"
        )
    signatures = {}
    for one in signed:
        node = NodeName(str(one["node"]))
        if node not in worker.study.nodes:
            raise EvidenceRejected(
                f"{node}: got a signature of no node of study {study}, which names {', '.join(worker.study.nodes)}"
            )
        signing.check_change(
            release, str(one["signature"]), worker.ledger.chain_id, worker.ledger.contract, worker.node_address(node)
        )
        signatures[node] = str(one["signature"])
    threshold = worker.ledger.study(worker.study_id).threshold
    if len(signatures) < threshold:
        raise Refused(f"{hospital}: {len(signatures)} nodes signed the release, want {threshold}")
    call = worker.ledger.release_hospital(worker.study_id, release.hospital, list(signatures.values()))
    worker.outbox().send(call, f"release-{release.study[:16]}-{release.change}")
    return hospital


def _release(worker: Worker, hospital: HospitalName) -> Release:
    return Release(
        worker.study_id, worker.ledger.study(worker.study_id).changes + 1, worker.consortium.hospital(hospital)
    )
