"""The input set of a round, which every node signs alike, and this node's components of it.

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

from pipeline.domain import HospitalName, Kind, NodeName, Reason, Sha256
from pipeline.errors import EvidenceRejected, Rejected, RoundAborted, TooFew
from pipeline.mpc import exchange
from pipeline.mpc.engines.base import Components
from pipeline.mpc.envelope import Envelope
from pipeline.mpc.exchange import Inventory, Loan
from pipeline.mpc.manifest import Manifest
from pipeline.mpc.sharing import Vector, held_by
from pipeline.mpc.spool import Part
from pipeline.round.journal import Journal
from pipeline.round.manifests import Committed, checked_manifest
from pipeline.round.opened_envelopes import OpenedEnvelopes
from pipeline.round.payload import length
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
class Inputs:
    """The one input set of a round, as every node signed it, and this node's components of it."""

    digests: Mapping[HospitalName, Sha256]
    absent: Mapping[HospitalName, str]
    components: Held

    @property
    def whole(self) -> Components:
        """The components in memory, as the engines take them."""
        return self._cut(slice(None))

    def first(self, words: int) -> Components:
        """So many words of each."""
        return self._cut(slice(words))

    def after(self, words: int) -> Components:
        """What comes behind so many words of each."""
        return self._cut(slice(words, None))

    def _cut(self, piece: slice) -> Components:
        return {
            hospital: {index: part[piece] for index, part in parts.items()}
            for hospital, parts in self.components.items()
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
        hospital: _own_components(ctx, hospital, manifest, taken.listed[hospital], key, keep)
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
    components: Held = {hospital: _kept(ctx, manifest, keep) for hospital, manifest in digests.items()}
    if any(len(parts) < len(ctx.worker.study.nodes) - 1 for parts in components.values()):
        return None
    return Inputs(digests, absent, components)


def _as_agreed(ctx: RoundContext, taken: Committed, absent: Mapping[HospitalName, str]) -> dict[HospitalName, Manifest]:
    """The manifest of everybody who is not absent, whether or not this node saw it at first.

    Raises RoundAborted when it does not hold.
    """
    me = ctx.worker.identity.name
    checked = {}
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
            checked[hospital] = taken.manifests.get(hospital) or checked_manifest(ctx, hospital, taken.listed[hospital])
        except (KeyError, Rejected) as error:
            raise RoundAborted(
                f"round {ctx.round_id}: most nodes signed that the manifest of {hospital} holds, {me} does not find it"
                f" so: {error}"
            ) from error
    return checked


def _own_components(
    ctx: RoundContext,
    hospital: HospitalName,
    manifest: Manifest,
    digest: Sha256,
    key: PrivateKey,
    keep: OpenedEnvelopes,
) -> dict[int, Part]:
    """A node's own components that fit the manifest.

    Those that it kept before a restart; where one is missing, also those of its envelope, if that is right.
    """
    me = NodeName(ctx.worker.identity.name)
    nodes = ctx.worker.study.nodes
    indices = held_by(nodes.index(me), len(nodes))
    before = _kept(ctx, digest, keep)
    if set(before) == set(indices):
        return before
    key_prefix = object_keys.envelope(ctx.round_id, hospital, me)
    try:
        return before | _opened(ctx, key_prefix, manifest.envelopes[me].sha256, indices, manifest, digest, key, keep)
    except Rejected:
        return before


def _kept(ctx: RoundContext, digest: Sha256, keep: OpenedEnvelopes) -> dict[int, Part]:
    study = ctx.worker.study
    words = length(ctx.study)
    indices = held_by(study.nodes.index(NodeName(ctx.worker.identity.name)), len(study.nodes))
    return {index: part for index in indices if (part := keep.get(digest, index, words)) is not None}


def _opened(
    ctx: RoundContext,
    key_prefix: KeyPrefix,
    sealed: Sha256,
    indices: Iterable[int],
    manifest: Manifest,
    digest: Sha256,
    key: PrivateKey,
    keep: OpenedEnvelopes,
) -> dict[int, Part]:
    """Those of an envelope's components that fit the manifest, opened piece by piece.

    Raises Rejected when the envelope itself does not open.
    """
    parts = dict[int, Part]()
    me = NodeName(ctx.worker.identity.name)
    envelope = Envelope(ctx.context, manifest.hospital, me, tuple(indices), manifest.length)
    with keep.scratch() as file:
        size = ctx.worker.board.save(key_prefix, sealed, file, envelope.size)
        for index, pieces in groupby(envelope.opened(file, size, key), key=itemgetter(0)):
            words = (piece for _, piece in pieces)
            try:
                parts[index] = keep.put(digest, index, manifest.length, words, manifest.components[index])
            except EvidenceRejected:
                continue
    return parts


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
    key_prefix = object_keys.resealed(ctx.round_id, loan.holder, loan.needy)
    while time.monotonic() < deadline:
        for sealed in ctx.worker.board.digests(key_prefix):
            try:
                parts = _opened(ctx, key_prefix, sealed, (loan.component,), manifest, digest, key, keep)
            except Rejected:
                continue
            if loan.component in parts:
                return parts[loan.component]
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
