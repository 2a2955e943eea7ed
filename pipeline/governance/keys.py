"""A member's next signing key.

A hospital moves on by itself, a node by signatures of a majority of every study's nodes, between rounds.

The key's file changes only once the ledger has the next key everywhere, and the members' file after it: a command that
was broken off is given again and does what is missing. A study's digest holds its members' keys, so all owners approve
their studies anew afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from pipeline.chain.ledger import HospitalStatus, Ledger, StudyState, study_id
from pipeline.chain.outbox import Outbox
from pipeline.domain import Address, HospitalKey, HospitalName, NodeKey, NodeName, RoundStatus
from pipeline.errors import EvidenceRejected, Misconfigured, Refused
from pipeline.evidence import signing
from pipeline.evidence.canonical import read_json
from pipeline.host.documents import first_problem
from pipeline.host.files import locked
from pipeline.host.secret import Secret
from pipeline.site import identity
from pipeline.site.consortium import Consortium
from pipeline.site.identity import SigningKey
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.study.study import Study

_Address = Annotated[Address, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]


class _File(BaseModel):
    """What owners hand on to one another as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Raises EvidenceRejected naming the field that has another form."""
        try:
            return cls.model_validate(read_json(data))
        except ValidationError as error:
            raise EvidenceRejected(f"{first_problem(error)}; want a file of `wardround key`") from error


class Request(_File):
    """A node's next key, and for each of its studies the number that the change would have."""

    node: str
    previous: _Address
    next: _Address
    changes: Mapping[str, int]


class Signatures(_File):
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
    if not signed or any(one.request != signed[0].request for one in signed):
        raise EvidenceRejected(f"got {len(signed)} files that are not all about one request, want a majority's to one")
    request = signed[0].request
    name = NodeName(signed[0].request.node)
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
                signatures = _majority(owner, study, state, signed)
                call = owner.ledger.rotate_node_key(state.study, request.previous, request.next, signatures)
                owner.outbox().send(call, f"node-key-{state.study[:16]}-{state.changes + 1}")
        member = owner.consortium.node(name).model_copy(update={"address": request.next})
        owner.succeed(lambda members: members.model_copy(update={"nodes": {**members.nodes, name: member}}))
    return Succession(name, request.previous, request.next)


@dataclass(frozen=True)
class _KeyOwner:
    """What an owner has at hand for keys: no store, no study that would have to be approved."""

    settings: Settings
    home: Path
    consortium: Consortium
    ledger: Ledger
    rpc: str

    @classmethod
    def open(cls, home: Path, settings: Settings) -> _KeyOwner:
        consortium = Consortium.load(settings.consortium)
        rpc = Installation.load(settings.installation).rpc
        return cls(settings, home, consortium, Ledger.connect(rpc, consortium.ledger), rpc)

    @property
    def key(self) -> SigningKey:
        return SigningKey(Secret.read(self.home / "signing-key"))

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

    def outbox(self) -> Outbox:
        return Outbox(self.home / "outbox", self.key, self.rpc, self.ledger.chain_id)

    def between_rounds(self) -> None:
        """Raise Refused while any round runs: its statements are bound to the keys with which it was opened."""
        running = [
            state.round for state in self.ledger.rounds() if state.status in (RoundStatus.OPEN, RoundStatus.COMMITTED)
        ]
        if running:
            raise Refused(
                f"round {running[-1]} is running, and its statements are bound to the members' keys: wait for its end"
            )

    def studies(self, node: NodeName) -> dict[str, StudyState]:
        """The registered studies that name the node."""
        found = {}
        for file in sorted(self.settings.studies.glob("*.yaml")):
            study = Study.load(file)
            if node in study.nodes and self.ledger.has_study(study_id(study.name)):
                found[study.name] = self.ledger.study(study_id(study.name))
        return found

    def succeed(self, how: Callable[[Consortium], Consortium]) -> None:
        """Put the next key in the present one's place, and into the members' file."""
        identity.succeed(self.home)
        Consortium.change(self.settings.consortium, how)


def _change(request: Request, study: str, state: StudyState) -> NodeKey:
    if request.changes.get(study) != state.changes + 1:
        raise EvidenceRejected(
            f"{request.node}: got a request for change {request.changes.get(study)} of study {study}, want"
            f" {state.changes + 1}: ask again"
        )
    return NodeKey(state.study, state.changes + 1, request.previous, request.next)


def _majority(owner: _KeyOwner, study: str, state: StudyState, signed: Sequence[Signatures]) -> list[str]:
    change = _change(signed[0].request, study, state)
    found = {}
    for one in signed:
        address = Address(owner.consortium.node(NodeName(one.signer)).address)
        if study in one.signatures and address in state.nodes:
            signing.check_change(change, one.signatures[study], owner.ledger.chain_id, owner.ledger.contract, address)
            found[address] = one.signatures[study]
    if len(found) < state.threshold:
        raise Refused(
            f"{change.previous}: {len(found)} nodes of study {study} signed its next key, want {state.threshold}"
        )
    return list(found.values())
