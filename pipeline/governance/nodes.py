"""A study's next set of nodes, by signatures of a majority of its present ones, between rounds.

Study file and members' file say who the next nodes are, and each owner signs what these files say on the owner's own
machine: what the ledger takes is what all owners then approve.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from pipeline.chain.ledger import study_id
from pipeline.domain import Address, NodeName, NodeSet
from pipeline.errors import Refused
from pipeline.evidence import signing
from pipeline.governance import proposal
from pipeline.governance.majority import AddressText, OwnerFile, about_one, majority_signatures, require_next
from pipeline.governance.owner import Owner
from pipeline.host.files import write_atomic
from pipeline.site.consortium import Consortium
from pipeline.site.settings import Settings
from pipeline.study.study import Study


def replace_node(study: str, leaving: NodeName, joining: NodeName, settings: Settings | None = None) -> tuple[str, ...]:
    """Name a node in another one's place in this machine's study file; the nodes as they are then.

    Given again, it changes nothing. Raises InvalidStudy, Refused when the study names neither.
    """
    settings = settings or Settings.load()
    path = settings.studies / f"{study}.yaml"
    nodes = Study.load(path).nodes
    if joining in nodes and leaving not in nodes:
        return nodes
    if leaving not in nodes:
        raise Refused(f"{leaving}: got a node that leaves, want one of study {study}'s: {', '.join(nodes)}")
    Consortium.load(settings.consortium).node(joining)
    text = path.read_text()
    root = yaml.compose(text)
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "nodes":
            for item in value.value:
                if item.value == leaving:
                    text = text[: item.start_mark.index] + joining + text[item.end_mark.index :]
    proposal.loaded(path.name, text)
    write_atomic(path, text.encode())
    return Study.load(path).nodes


class SignedNodes(OwnerFile):
    """A present node's signature to the accounts of a study's next nodes."""

    study: str
    change: int
    nodes: Sequence[AddressText]
    signer: str
    signature: str


def sign_nodes(study: str, signer: NodeName, settings: Settings | None = None) -> SignedNodes:
    """A present node's signature to the nodes that this machine's study file names.

    Raises Refused when the ledger has these nodes, or when the signer is none of its present ones.
    """
    settings = settings or Settings.load()
    owner = Owner.open(settings.node(signer), settings)
    read = Study.load(settings.studies / f"{study}.yaml")
    state = owner.ledger.study(study_id(read.name))
    nodes = tuple(Address(owner.consortium.node(name).address) for name in read.nodes)
    if nodes == state.nodes:
        raise Refused(f"study {study}: the ledger has the nodes of {study}.yaml; name the next ones there first")
    if owner.key.address not in state.nodes:
        raise Refused(
            f"{signer}: got the key {owner.key.address}, want one of study {study}'s present nodes, who decide:"
            f" {', '.join(state.nodes)}"
        )
    change = NodeSet(state.study, state.changes + 1, nodes)
    signature = signing.sign_change(change, owner.ledger.chain_id, owner.ledger.contract, owner.key)
    return SignedNodes(study=study, change=change.change, nodes=nodes, signer=signer, signature=signature)


def send_nodes(signed: Sequence[SignedNodes], sender: NodeName | None, settings: Settings | None = None) -> str:
    """Give a study the nodes that a majority of its present ones signed; the study's name.

    By a transaction of a node, or of the provider, whose word adds nothing to theirs.

    Raises Refused when they are fewer, or while a round of the study runs.
    """
    settings = settings or Settings.load()
    study, number, nodes = about_one([(one.study, one.change, tuple(one.nodes)) for one in signed])
    owner = Owner.open(settings.node(sender) if sender else settings.provider, settings)
    state = owner.ledger.study(study_id(study))
    if nodes == state.nodes:
        return study  # sent before
    if state.open_round is not None:
        raise Refused(f"round {state.open_round} of study {study} is running, and its nodes decide it: wait")
    require_next(number, study, state)
    change = NodeSet(state.study, number, nodes)
    given = {one.signer: one.signature for one in signed}
    call = owner.ledger.change_nodes(state.study, nodes, majority_signatures(change, given, study, state, owner.ledger))
    owner.outbox().send(call, f"nodes-{state.study[:16]}-{number}")
    return study
