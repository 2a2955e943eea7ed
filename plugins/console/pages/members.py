"""Who decides and who provides, as the ledger has it: a study's nodes, the service provider, and who follows them.

What a majority of nodes signed elsewhere is put on the ledger here; the page adds no word of its own to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from pipeline.airflow.accounts import Role
from pipeline.chain.ledger import Ledger, study_id
from pipeline.domain import Address
from pipeline.errors import Refused
from pipeline.governance import hand_over
from pipeline.governance.enrolment import signing_address
from pipeline.governance.nodes import SignedNodes, send_nodes
from pipeline.site.consortium import Consortium
from pipeline.site.installation import Installation
from pipeline.study.study import Study
from plugins.console import hospitals, studies
from plugins.console.access import Provider
from plugins.console.csrf import OwnForm
from plugins.console.dependencies import Rounds, concerns
from plugins.console.page import Link, render

router = APIRouter()
LINK = Link(140, "Nodes and provider", "/members", (Role.PROVIDER,))

_NOBODY = "0x" + "0" * 40
_LONGEST = 20_000

Files = Annotated[
    list[Annotated[str, Form(max_length=_LONGEST)]], Form(description="Files of a majority, one in each field.")
]


@dataclass(frozen=True)
class NodePlace:
    """A node of a study's file, and the account that the ledger has in its place."""

    name: str
    address: Address | None
    on_ledger: Address | None


@dataclass(frozen=True)
class StudyNodes:
    """A study on the ledger with its nodes."""

    name: str
    threshold: int
    places: Sequence[NodePlace]

    @property
    def agreed(self) -> bool:
        """Whether the ledger has the nodes of the study's file."""
        return all(place.address == place.on_ledger for place in self.places)


@router.get("/members")
def members(request: Request, who: Provider, index: Rounds) -> HTMLResponse:
    """Each study's nodes by its file and by the ledger, the provider and whom it named."""
    consortium = studies.consortium(index.settings)
    services = Installation.load(index.settings.installation)
    ledger = Ledger.connect(services.rpc, consortium.ledger, services.authority)
    named = ledger.next_provider()
    return render(
        request,
        "members",
        who,
        studies=[
            _nodes(study, consortium, ledger)
            for study in studies.readable(index.settings)
            if ledger.has_study(study_id(study.name))
        ],
        provider=ledger.provider(),
        named=None if named == _NOBODY else named,
        here=hospitals.provider_is_here(index.settings),
    )


@router.post("/members/nodes", dependencies=[OwnForm])
def send(request: Request, who: Provider, index: Rounds, files: Files) -> RedirectResponse:
    """Give a study the nodes that a majority of its present ones signed, by the provider's transaction."""
    signed = [SignedNodes.read(text.encode()) for text in files if text.strip()]
    if not signed:
        raise Refused(
            "the files: got none, want what owners of a majority wrote by `wardround nodes replace` or `sign`"
        )
    concerns(request, signed[0].study)
    send_nodes(signed, None, index.settings)
    return _back(request)


@router.post("/members/provider", dependencies=[OwnForm])
def name_successor(
    request: Request, who: Provider, index: Rounds, address: Annotated[str, Form(max_length=64)]
) -> RedirectResponse:
    """Name the key that may take the provider's role; until it does, nothing changes."""
    successor = signing_address(address.strip())
    concerns(request, successor)
    hand_over.hand_over(successor, index.settings)
    return _back(request)


def _nodes(study: Study, consortium: Consortium, ledger: Ledger) -> StudyNodes:
    state = ledger.study(study_id(study.name))
    places = []
    for number in range(max(len(study.nodes), len(state.nodes))):
        name = study.nodes[number] if number < len(study.nodes) else None
        node = consortium.nodes.get(name) if name else None
        places.append(
            NodePlace(
                name or "–",
                Address(node.address) if node else None,
                state.nodes[number] if number < len(state.nodes) else None,
            )
        )
    return StudyNodes(study.name, state.threshold, places)


def _back(request: Request) -> RedirectResponse:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/members", 303)
