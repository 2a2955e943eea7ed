"""What a node takes in: the committed manifests, its own envelopes, and the input set that every node signs alike.

Who takes part follows from what the nodes say that they saw, and from nothing else: a hospital that shows two of them
different things, or something only when some have looked, is in for all of them or out for all of them, for one reason.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from nacl.public import PrivateKey

from pipeline.chain.ledger import HospitalStatus
from pipeline.domain import HospitalName, Kind, NodeName, Reason, Sha256
from pipeline.errors import Crowded, EvidenceRejected, Rejected, RoundAborted, TooFew
from pipeline.evidence import merkle
from pipeline.mpc import exchange
from pipeline.mpc.engines.base import Components, Payload
from pipeline.mpc.envelope import Envelope, sealed_size
from pipeline.mpc.exchange import Inventory, Loan
from pipeline.mpc.manifest import Manifest
from pipeline.mpc.sharing import Vector, held_by
from pipeline.mpc.spool import Part
from pipeline.round.journal import Journal
from pipeline.round.opened_envelopes import OpenedEnvelopes
from pipeline.round.worker import RoundContext
from pipeline.store import object_keys
from pipeline.store.object_keys import KeyPrefix

_OWN_DOING = ("wrong_length", "unrecoverable_component")
"""Absences that follow from what a hospital signed and is in the set: its manifest, and envelopes that are not what
that says.

Not a copied component, of which nobody can say whose it was, nor a manifest that the committer may have listed in its
name."""

Held = dict[HospitalName, dict[int, Part]]
"""Hospital to component index to words."""


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
        if hospital in quarantined:
            barred[hospital] = "quarantined"
        elif (standing := ctx.standings[hospital]) is not HospitalStatus.AUTHORISED:
            barred[hospital] = standing.value
        elif hospital not in listed:
            absent[hospital] = absence(ctx, hospital)
        else:
            try:
                manifests[hospital] = checked_manifest(ctx, hospital, listed[hospital])
            except WrongLengthError:
                absent[hospital] = "wrong_length"
            except Rejected:
                absent[hospital] = "forged_manifest"
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
    validation = worker.board.statement(ctx.round_id, Kind.VALIDATION, hospital, manifest.validation)
    worker.check(validation, ctx.context)
    if validation.body.get("passed") is not True:
        raise EvidenceRejected(f"{hospital}: got a manifest that stands on a failed validation")
    length = Payload(worker.study.network, worker.study.samples_shared).length
    per_envelope = sealed_size(len(worker.study.nodes) - 1, length)
    if manifest.length != length or any(sealed.size != per_envelope for sealed in manifest.envelopes.values()):
        raise WrongLengthError(
            f"{hospital}: got a vector of {manifest.length} words, want {length}: another model or sample count"
        )
    return manifest


def signed_manifests(ctx: RoundContext, hospital: HospitalName) -> tuple[Sha256, ...]:
    """Digests of the manifests that a hospital signed in this round, whether they hold or not: no other's junk.

    Raises Crowded.
    """
    return tuple(ctx.worker.board.held(ctx.round_id, Kind.MANIFEST, hospital, ctx.check))


def uncommitted(ctx: RoundContext, quarantined: frozenset[HospitalName]) -> dict[HospitalName, str]:
    """Which hospitals had no update that could be committed in a round that has no commit, and why.

    The reason is what this node finds.
    """
    found = {}
    for hospital in ctx.worker.study.hospitals:
        if hospital in quarantined:
            found[hospital] = "quarantined"
        elif (standing := ctx.standings[hospital]) is not HospitalStatus.AUTHORISED:
            found[hospital] = standing.value
        elif (fault := _fault(ctx, hospital)) is not None:
            found[hospital] = fault
    return found


def absence(ctx: RoundContext, hospital: HospitalName) -> str:
    """Why a hospital is not in the commit, from what it posted itself."""
    fault = _fault(ctx, hospital)
    return "no_manifest" if fault in (None, "no_validation") else fault


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
        except WrongLengthError:
            return "wrong_length"
        except Rejected:
            return "forged_manifest"
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


@dataclass(frozen=True)
class Inputs:
    """The one input set of a round, as every node signed it, and this node's components of it."""

    digests: Mapping[HospitalName, Sha256]
    absent: Mapping[HospitalName, str]
    components: Held

    @property
    def whole(self) -> Components:
        """The components in memory, as the engines take them."""
        return {
            hospital: {index: part[:] for index, part in parts.items()} for hospital, parts in self.components.items()
        }


def agree(
    ctx: RoundContext, taken: Committed, key: PrivateKey, journal: Journal, deadline: float, keep: OpenedEnvelopes
) -> Inputs:
    """Open, lend and borrow components until all nodes sign one input set; raises RoundAborted when they do not."""
    worker = ctx.worker
    me = NodeName(ctx.worker.identity.name)
    nodes = worker.study.nodes
    hospitals = worker.study.hospitals
    held: Held = {
        hospital: _own(ctx, hospital, manifest, taken.listed[hospital], key, keep)
        for hospital, manifest in taken.manifests.items()
    }
    seen = Inventory({hospital: tuple(parts) for hospital, parts in held.items()}, {**taken.barred, **taken.absent})
    _still_held(ctx, say_once(ctx, journal, Kind.INVENTORY, seen.body())["held"], held)
    inventories: dict[NodeName, Inventory] = {}
    for node, statement in worker.board.wait(ctx.round_id, Kind.INVENTORY, nodes, deadline, ctx.check).items():
        inventories[node] = exchange.parse_inventory(statement, hospitals, nodes.index(node), len(nodes))
    absent = exchange.absent(inventories, hospitals)
    manifests = _as_agreed(ctx, taken, absent)
    loans = exchange.loans(inventories, nodes, tuple(manifests))
    for loan in loans:
        if loan.holder == me:
            _lend(ctx, loan, held[loan.hospital][loan.component][:])
    absent |= dict.fromkeys(exchange.unrecoverable(inventories, nodes, tuple(manifests)), "unrecoverable_component")
    complete = {hospital: manifest for hospital, manifest in manifests.items() if hospital not in absent}
    absent |= dict.fromkeys(exchange.copied(complete), "duplicate_component")
    inputs = {hospital: taken.listed[hospital] for hospital in complete if hospital not in absent}
    for loan in loans:
        if loan.needy == me and loan.hospital in inputs:
            component = _borrow(ctx, loan, manifests[loan.hospital], inputs[loan.hospital], key, deadline, keep)
            held.setdefault(loan.hospital, {})[loan.component] = component
    mine = {"inputs": inputs, "absent": absent}
    if say_once(ctx, journal, Kind.INPUT_SET, mine) != mine:
        raise RoundAborted(
            f"round {ctx.round_id}: {me} signed another input set before; what it sees now does not give that one"
        )
    for node, statement in worker.board.wait(ctx.round_id, Kind.INPUT_SET, nodes, deadline, ctx.check).items():
        if dict(statement.body) != mine:
            raise RoundAborted(
                f"round {ctx.round_id}: {node} signed another input set than {me}; the nodes do not see the same"
                " evidence"
            )
    if len(inputs) < worker.study.accepted_floor:
        raise TooFew(
            f"round {ctx.round_id}: {len(inputs)} hospitals took part, want at least {worker.study.accepted_floor};"
            " absent: " + ", ".join(f"{hospital} ({reason})" for hospital, reason in absent.items()),
            Reason.TOO_FEW_TOOK_PART,
            tuple(hospital for hospital, reason in absent.items() if reason in _OWN_DOING),
        )
    return Inputs(inputs, absent, {hospital: held[hospital] for hospital in inputs})


def kept(
    ctx: RoundContext, digests: Mapping[HospitalName, Sha256], absent: Mapping[HospitalName, str], keep: OpenedEnvelopes
) -> Inputs | None:
    """The input set that this node verified, from what it kept; None when a component is not here any more."""
    found: Held = {hospital: _kept(ctx, manifest, keep) for hospital, manifest in digests.items()}
    if any(len(parts) < len(ctx.worker.study.nodes) - 1 for parts in found.values()):
        return None
    return Inputs(digests, absent, found)


def _as_agreed(ctx: RoundContext, taken: Committed, absent: Mapping[HospitalName, str]) -> dict[HospitalName, Manifest]:
    """The manifest of everybody who is not absent, whether or not this node saw it at first.

    Raises RoundAborted when it does not hold.
    """
    me = ctx.worker.identity.name
    found = {}
    for hospital in ctx.worker.study.hospitals:
        barred = taken.barred.get(hospital)
        if barred is not None and absent.get(hospital) != barred:
            raise RoundAborted(
                f"round {ctx.round_id}: for {me} {hospital} is {barred}, for most nodes not; do all see one ledger?"
            )
        if hospital in absent:
            continue
        try:
            # Its author may have posted it while the nodes looked; most have checked it, so it is there now.
            found[hospital] = taken.manifests.get(hospital) or checked_manifest(ctx, hospital, taken.listed[hospital])
        except (KeyError, Rejected) as error:
            raise RoundAborted(
                f"round {ctx.round_id}: most nodes signed that the manifest of {hospital} holds, {me} does not find it"
                f" so: {error}"
            ) from error
    return found


def _listed(ctx: RoundContext) -> dict[HospitalName, Sha256]:
    place = object_keys.commit(ctx.round_id)
    for digest in ctx.worker.board.digests(place):
        try:
            listed = ctx.worker.board.json(place, digest)
            if merkle.root([Sha256(value) for value in dict.fromkeys(listed.values())]) == ctx.commit_root:
                return {HospitalName(name): Sha256(value) for name, value in listed.items()}
        except (Rejected, ValueError, TypeError):
            continue
    raise EvidenceRejected(
        f"round {ctx.round_id}: got no list of manifests under the ledger's commit root {ctx.commit_root[:16]}"
    )


def _own(
    ctx: RoundContext,
    hospital: HospitalName,
    manifest: Manifest,
    digest: Sha256,
    key: PrivateKey,
    keep: OpenedEnvelopes,
) -> dict[int, Part]:
    """A node's own components that fit the manifest.

    What it kept before a restart, else what its envelope holds, if that is right.
    """
    me = NodeName(ctx.worker.identity.name)
    nodes = ctx.worker.study.nodes
    indices = held_by(nodes.index(me), len(nodes))
    before = _kept(ctx, digest, keep)
    if set(before) == set(indices):
        return before
    place = object_keys.envelope(ctx.round_id, hospital, me)
    try:
        return before | _opened(ctx, place, manifest.envelopes[me].sha256, indices, manifest, digest, key, keep)
    except Rejected:
        return before


def _kept(ctx: RoundContext, digest: Sha256, keep: OpenedEnvelopes) -> dict[int, Part]:
    study = ctx.worker.study
    length = Payload(study.network, study.samples_shared).length
    indices = held_by(study.nodes.index(NodeName(ctx.worker.identity.name)), len(study.nodes))
    return {index: part for index in indices if (part := keep.get(digest, index, length)) is not None}


def _opened(
    ctx: RoundContext,
    place: KeyPrefix,
    sealed: Sha256,
    indices: Iterable[int],
    manifest: Manifest,
    digest: Sha256,
    key: PrivateKey,
    keep: OpenedEnvelopes,
) -> dict[int, Part]:
    """Of an envelope's components those that fit the manifest, opened piece by piece.

    Raises Rejected when the envelope does not.
    """
    found = dict[int, Part]()
    me = NodeName(ctx.worker.identity.name)
    envelope = Envelope(ctx.context, manifest.hospital, me, tuple(indices), manifest.length)
    with keep.scratch() as file:
        size = ctx.worker.board.save(place, sealed, file, envelope.size)
        for index, pieces in groupby(envelope.opened(file, size, key), key=itemgetter(0)):
            words = (piece for _, piece in pieces)
            try:
                found[index] = keep.put(digest, index, manifest.length, words, manifest.components[index])
            except EvidenceRejected:
                continue
    return found


def _still_held(ctx: RoundContext, said: Mapping[HospitalName, Iterable[int]], held: Held) -> None:
    """Raise RoundAborted when a component that this node said it holds, before a crash, is no longer to be had."""
    for hospital, indices in said.items():
        if not set(indices) <= set(held.get(hospital, {})):
            raise RoundAborted(
                f"round {ctx.round_id}: {ctx.worker.identity.name} signed that it holds components of {hospital}, but"
                " does not now: what it kept is gone, and the envelope is gone from the store or changed"
            )


def _lend(ctx: RoundContext, loan: Loan, component: Vector) -> None:
    key = ctx.sealing_keys()[loan.needy]
    envelope = Envelope(ctx.context, loan.hospital, loan.needy, (loan.component,), len(component))
    ctx.worker.board.post(
        object_keys.resealed(ctx.round_id, loan.holder, loan.needy), envelope.seal({loan.component: component}, key)
    )


def _borrow(
    ctx: RoundContext,
    loan: Loan,
    manifest: Manifest,
    digest: Sha256,
    key: PrivateKey,
    deadline: float,
    keep: OpenedEnvelopes,
) -> Part:
    place = object_keys.resealed(ctx.round_id, loan.holder, loan.needy)
    while time.monotonic() < deadline:
        for sealed in ctx.worker.board.digests(place):
            try:
                found = _opened(ctx, place, sealed, (loan.component,), manifest, digest, key, keep)
            except Rejected:
                continue
            if loan.component in found:
                return found[loan.component]
        time.sleep(0.2)
    raise RoundAborted(
        f"round {ctx.round_id}: {loan.holder} says that it holds component {loan.component} of {loan.hospital} but did"
        " not lend it"
    )


def say_once(ctx: RoundContext, journal: Journal, kind: Kind, body: Mapping[Any, object]) -> dict[str, Any]:
    """Make this node's only statement of a kind, and return its body: what was said before a crash stands."""
    statement = journal.said(ctx.round_id, kind) or ctx.worker.sign(kind, body, ctx.context)
    ctx.worker.board.say(ctx.round_id, journal.say(ctx.round_id, statement))
    return dict(statement.body)
