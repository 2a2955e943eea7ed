"""How a round ended without a model: what a majority signed, and what each node says that it saw.

A node signs what it likes: what it said is shown only in the form that a cause has, under its own name, and decides
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.audit.round_objects import RoundObjects
from pipeline.domain import Address, Context, HospitalName, Kind, NodeName, direct_grace
from pipeline.errors import EvidenceRejected
from pipeline.ledger_types.state import RoundState
from pipeline.store import object_keys

_LONGEST = 600
_MOST_NAMES = 200
_MOST_STATEMENTS = 4


@dataclass(frozen=True)
class NodeCause:
    """What one node saw of a round that was aborted; None where it said nothing that holds."""

    node: str
    """Its name, or its address where it signed nothing in this round."""
    stage: str | None
    saw: str | None
    waited_for: tuple[str, ...]
    """Nodes that it waited for in vain."""
    absent: Mapping[str, str]
    """Hospitals that had no part in the round for it, and why."""
    blamed: tuple[str, ...]
    """Hospitals that it blames for the end."""


@dataclass(frozen=True)
class End:
    """The end of a round without a model.

    `reason` is None where its deadline ended it, and no majority of its nodes.
    """

    reason: str | None
    deadline: int
    """Block time of the deadline that the round stood under: of its set, or once committed of its result."""
    committed: bool
    """Whether it had a set."""
    blamed: tuple[str, ...]
    """Names of the hospitals that the majority blames: a strike for each; an account where the round does not name it.
    """
    signers: tuple[str, ...]
    causes: tuple[NodeCause, ...]
    """One for each node of the study, in its order."""

    @property
    def named(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """Each hospital that a cause names to its reasons, and each reason to the nodes that give it."""
        nodes_by_reason: dict[str, dict[str, tuple[str, ...]]] = {}
        for cause in self.causes:
            for hospital, reason in cause.absent.items():
                nodes = nodes_by_reason.setdefault(hospital, {})
                nodes[reason] = (*nodes.get(reason, ()), cause.node)
        return nodes_by_reason

    def to_json(self) -> dict[str, Any]:
        """For `wardround show --json`."""
        return asdict(self)


def end(state: RoundState, nodes: Sequence[Address], objects: RoundObjects, context: Context) -> End | None:
    """How an aborted round ended; None for any other."""
    if state.aborted is None:
        return None
    named = _named(objects, context, nodes, Kind.SEALING_KEY)
    causes = tuple(_cause(objects, context, address, named.get(address)) for address in nodes)
    committed = state.committed is not None
    commit = state.opened.commit_deadline
    result = state.opened.result_deadline
    deadline = result if committed else commit + (direct_grace(result - commit) if state.direct else 0)
    if state.decided is None:
        return End(None, deadline, committed, (), (), causes)
    hospitals = _named(objects, context, state.decided.blamed, Kind.MANIFEST)
    return End(
        reason=state.decided.reason,
        deadline=deadline,
        committed=committed,
        blamed=tuple(hospitals.get(account, account) for account in state.decided.blamed),
        signers=tuple(cause.node for index, cause in enumerate(causes) if state.decided.signers >> index & 1),
        causes=causes,
    )


def _named(objects: RoundObjects, context: Context, accounts: Sequence[Address], kind: Kind) -> dict[Address, str]:
    """Account to the name under which it signed a statement of this kind."""
    name_by_account = dict[Address, str]()
    for name in objects.members("nodes" if object_keys.by_node(kind) else "hospitals"):
        key_prefix = object_keys.statement(objects.round, kind, HospitalName(name))
        for digest in objects.digests(key_prefix)[:_MOST_STATEMENTS]:
            for account in accounts:
                try:
                    objects.statement(kind, HospitalName(name), account, context, digest)
                except EvidenceRejected:
                    continue
                name_by_account.setdefault(account, name)
    return name_by_account


def _cause(objects: RoundObjects, context: Context, address: Address, name: str | None) -> NodeCause:
    said: Mapping[str, Any] = {}
    if name is not None:
        with suppress(EvidenceRejected):
            said = objects.statement(Kind.CAUSE, NodeName(name), address, context).body
    waited = said.get("waited_for")
    return NodeCause(
        node=name or address,
        stage=_word(said.get("stage")),
        saw=_word(said.get("saw")),
        waited_for=_words(waited.get("nodes")) if isinstance(waited, dict) else (),
        absent=_reasons(said.get("absent")),
        blamed=_words(said.get("blamed")),
    )


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST else None


def _reasons(value: object) -> dict[str, str]:
    pairs = list(value.items())[:_MOST_NAMES] if isinstance(value, dict) else []
    return {name: reason for name, reason in pairs if _word(name) and _word(reason)}


def _words(value: object) -> tuple[str, ...]:
    return tuple(word for word in value[:_MOST_NAMES] if _word(word)) if isinstance(value, list) else ()
