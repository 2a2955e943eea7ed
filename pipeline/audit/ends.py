"""How a round ended without a model: what a majority signed, and what each node says that it saw.

A node signs what it likes: what it said is shown only in the form that a cause has, under its own name, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from pipeline import places
from pipeline.audit.ports import RoundState
from pipeline.audit.shelf import Shelf
from pipeline.domain import Address, Context, HospitalName, Kind, NodeName
from pipeline.errors import EvidenceRejected

_LONGEST, _MOST_NAMES, _MOST_STATEMENTS = 600, 200, 4


@dataclass(frozen=True)
class NodeCause:
    """What one node saw of a round that was aborted; None where it said nothing that holds."""

    node: str
    """Its name, or its address where it signed nothing in this round."""
    stage: str | None
    saw: str | None
    waited_for: tuple[str, ...]
    """Nodes that it waited for in vain."""
    hospitals: tuple[str, ...]
    """Hospitals that it blames."""


@dataclass(frozen=True)
class End:
    """The end of a round without a model; `reason` is None where its deadline ended it, and no majority of its nodes."""

    reason: str | None
    blamed: tuple[str, ...]
    """Names of the hospitals that the majority blames: a strike for each; an account where the round does not name it."""
    signers: tuple[str, ...]
    causes: tuple[NodeCause, ...]
    """One for each node of the study, in its order."""

    def to_json(self) -> dict[str, Any]:
        """For `wardround show --json`."""
        return asdict(self)


def end(state: RoundState, nodes: Sequence[Address], shelf: Shelf, context: Context) -> End | None:
    """How an aborted round ended; None for any other."""
    if state.aborted is None:
        return None
    named = _named(shelf, context, nodes, Kind.SEALING_KEY)
    causes = tuple(_cause(shelf, context, address, named.get(address)) for address in nodes)
    if state.decided is None:
        return End(None, (), (), causes)
    hospitals = _named(shelf, context, state.decided.blamed, Kind.MANIFEST)
    return End(
        reason=state.decided.reason,
        blamed=tuple(hospitals.get(account, account) for account in state.decided.blamed),
        signers=tuple(cause.node for index, cause in enumerate(causes) if state.decided.signers >> index & 1),
        causes=causes,
    )


def _named(shelf: Shelf, context: Context, accounts: Sequence[Address], kind: Kind) -> dict[Address, str]:
    """Account to the name under which it signed a statement of this kind."""
    found = dict[Address, str]()
    for name in shelf.members("nodes" if places.by_node(kind) else "hospitals"):
        place = places.statement(shelf.round, kind, HospitalName(name))
        for digest in shelf.digests(place)[:_MOST_STATEMENTS]:
            for account in accounts:
                try:
                    shelf.statement(kind, HospitalName(name), account, context, digest)
                except EvidenceRejected:
                    continue
                found.setdefault(account, name)
    return found


def _cause(shelf: Shelf, context: Context, address: Address, name: str | None) -> NodeCause:
    said: Mapping[str, Any] = {}
    if name is not None:
        with suppress(EvidenceRejected):
            said = shelf.statement(Kind.CAUSE, NodeName(name), address, context).body
    waited = said.get("waited_for")
    return NodeCause(
        node=name or address,
        stage=_word(said.get("stage")),
        saw=_word(said.get("saw")),
        waited_for=_words(waited.get("nodes")) if isinstance(waited, dict) else (),
        hospitals=_words(said.get("hospitals")),
    )


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST else None


def _words(value: object) -> tuple[str, ...]:
    return tuple(word for word in value[:_MOST_NAMES] if _word(word)) if isinstance(value, list) else ()
