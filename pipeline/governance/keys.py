"""A member's next signing key.

A hospital moves on by itself, a node by signatures of a majority of every study's nodes, between rounds.

The key's file changes only once the ledger has the next key everywhere, and the members' file after it: a command that
was broken off is given again and does what is missing. A study's digest holds its members' keys, so all owners approve
their studies anew afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.chain.ledger import HospitalStatus, StudyState, study_id
from pipeline.domain import Address, HospitalKey, HospitalName, NodeKey, NodeName
from pipeline.errors import Misconfigured, Refused
from pipeline.evidence import signing
from pipeline.governance.majority import AddressText, OwnerFile, about_one, majority_signatures, require_next
from pipeline.governance.owner import Owner
from pipeline.host.files import locked
from pipeline.site import identity
from pipeline.site.consortium import Consortium
from pipeline.site.identity import SigningKey
from pipeline.site.settings import Settings
from pipeline.study.study_files import StudyFiles


class Request(OwnerFile):
    """A node's next key, and for each of its studies the number that the change would have."""

    node: str
    previous: AddressText
    next: AddressText
    changes: Mapping[str, int]


class Signatures(OwnerFile):
    """One owner's signatures to a request, by study."""

    request: Request
    signer: str
    signatures: Mapping[str, str]


@dataclass(frozen=True)
class Succession:
    """A key and the one in its place."""

    name: str
    previous: Address
    next: Address


def rotate_hospital_key(name: HospitalName, settings: Settings | None = None) -> Succession:
    """Move a hospital on to a fresh key; raises Refused while a round runs or when the ledger does not take it."""
    settings = settings or Settings.load()
    with locked(settings.hospital(name) / "signing-key.lock"):
        owner = _KeyOwner.open(settings.hospital(name), settings)
        ledger = owner.ledger
        previous = owner.consortium.hospital(name)
        successor = owner.successor(previous)
        if ledger.hospital(successor.address) is HospitalStatus.UNKNOWN:
            owner.between_rounds()
            signature = signing.sign_change(
                HospitalKey(previous, successor.address), ledger.chain_id, ledger.contract, successor
            )
            owner.outbox().send(
                ledger.rotate_hospital_key(successor.address, signature), f"rotate-to-{successor.address}"
            )
        if ledger.hospital(previous) is not HospitalStatus.RETIRED:
            raise Refused(
                f"{name}: the ledger says that {previous} is {ledger.hospital(previous)}, want it retired for"
                f" {successor.address}"
            )
        owner.succeed(lambda members: members.with_hospital(name, successor.address))
    return Succession(name, previous, successor.address)


def request_node_key(name: NodeName, settings: Settings | None = None) -> Request:
    """Make a node's next key and ask the other owners for it; raises Refused when the node sits in no study."""
    settings = settings or Settings.load()
    with locked(settings.node(name) / "signing-key.lock"):
        owner = _KeyOwner.open(settings.node(name), settings)
        previous = Address(owner.consortium.node(name).address)
        changes = {study: state.changes + 1 for study, state in owner.studies(name).items() if previous in state.nodes}
        if not changes:
            raise Refused(
                f"{name}: the ledger has {previous} in no study of this checkout; nothing to ask the other nodes for"
            )
        return Request(node=name, previous=previous, next=owner.successor(previous).address, changes=changes)


def sign_node_key(request: Request, signer: NodeName, settings: Settings | None = None) -> Signatures:
    """A node owner's signatures to another node's next key.

    Raises Refused when the request is not about the node that it names.
    """
    settings = settings or Settings.load()
    owner = _KeyOwner.open(settings.node(signer), settings)
    previous = owner.consortium.node(NodeName(request.node)).address
    if previous != request.previous:
        raise Refused(
            f"{request.node}: got a request to replace {request.previous}, but the members' file says {previous}"
        )
    signatures = {}
    for study, state in owner.studies(signer).items():
        if study in request.changes and owner.key.address in state.nodes and request.previous in state.nodes:
            change = _change(request, study, state)
            signatures[study] = signing.sign_change(change, owner.ledger.chain_id, owner.ledger.contract, owner.key)
    if not signatures:
        raise Refused(
            f"{signer}: got a request about {', '.join(request.changes)}, in none of which this node and {request.node}"
            " both sit"
        )
    return Signatures(request=request, signer=signer, signatures=signatures)


def send_node_key(signed: Sequence[Signatures], settings: Settings | None = None) -> Succession:
    """Give a node its next key in every study, by a majority's signatures.

    Raises Refused when they are fewer, or while a round runs.
    """
    settings = settings or Settings.load()
    request = about_one([one.request for one in signed])
    name = NodeName(request.node)
    with locked(settings.node(name) / "signing-key.lock"):
        owner = _KeyOwner.open(settings.node(name), settings)
        successor = owner.successor(request.previous)
        if successor.address != request.next:
            raise Refused(
                f"{name}: got signatures to {request.next}, want ones to the next key {successor.address}: sign again"
            )
        for study, state in owner.studies(name).items():
            if request.previous in state.nodes:
                owner.between_rounds()
                given = {one.signer: one.signatures[study] for one in signed if study in one.signatures}
                signatures = majority_signatures(_change(request, study, state), given, study, state, owner.ledger)
                call = owner.ledger.rotate_node_key(state.study, request.previous, request.next, signatures)
                owner.outbox().send(call, f"node-key-{state.study[:16]}-{state.changes + 1}")
        member = owner.consortium.node(name).model_copy(update={"address": request.next})
        owner.succeed(lambda members: members.model_copy(update={"nodes": {**members.nodes, name: member}}))
    return Succession(name, request.previous, request.next)


class _KeyOwner(Owner):
    """An owner whose member moves on to another key."""

    def successor(self, previous: Address) -> SigningKey:
        """The key that follows `previous`.

        It may stand in its place already, when the command was broken off before its end.
        """
        if self.key.address == previous:
            return identity.next_key(self.home)
        if not (self.home / identity.FORMER_KEYS / previous).exists():
            raise Misconfigured(
                f"{self.home.name}: its signing key is {self.key.address}, but the members' file lists {previous}"
            )
        return self.key

    def studies(self, node: NodeName) -> dict[str, StudyState]:
        """The registered studies that name the node."""
        registered = {}
        for name, study in StudyFiles.read(self.settings.studies).all().items():
            if node in study.nodes and self.ledger.has_study(study_id(name)):
                registered[name] = self.ledger.study(study_id(name))
        return registered

    def succeed(self, how: Callable[[Consortium], Consortium]) -> None:
        """Put the next key in the present one's place, and into the members' file."""
        identity.succeed(self.home)
        Consortium.change(self.settings.consortium, how)


def _change(request: Request, study: str, state: StudyState) -> NodeKey:
    require_next(request.changes.get(study), study, state)
    return NodeKey(state.study, state.changes + 1, request.previous, request.next)
