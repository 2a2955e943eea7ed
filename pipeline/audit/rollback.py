"""A ledger that lost rounds.

What the nodes and hospitals signed, kept in a store that nobody writes over, knows more than the chain.

An older copy of a development chain that was put back is whole and consistent in itself. But nodes sign a result only
for a round whose set the ledger fixed, and hospitals confirm a model only when it was final there: those signatures
show what the ledger has forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from pipeline.audit.interfaces import HistoryReader, ObjectStore
from pipeline.audit.round_evidence import record_of
from pipeline.audit.round_objects import RoundObjects
from pipeline.audit.round_record import RoundRecord
from pipeline.domain import Address, Context, Kind, NodeName, Result, RoundId, RoundStatus
from pipeline.errors import Refused, Rejected
from pipeline.evidence import signing
from pipeline.ledger_types.events import StudyId
from pipeline.ledger_types.state import RoundState, study_id
from pipeline.store import object_keys

_NEAR = 16
"""Numbers that are looked at beyond the ledger's last round, and before the one to come: as many runs in a row may have
got no round."""
_FEWEST = 2
"""Nodes that can be a majority: a study has three or four."""
_READ = 16
"""Statements of one signer that are read at most; nobody bounds how many one posts."""


def refuse_forgotten(
    ledger: HistoryReader, store: ObjectStore, study: StudyId | None = None, coming: RoundId | None = None
) -> None:
    """Raise Refused naming the newest round that a majority of its nodes decided and the ledger has forgotten.

    Looked at are rounds near the ledger's last and near the `coming` one, not everything that somebody calls a round in
    the store.
    """
    states = {state.round: state for state in ledger.rounds()}
    ended = {number for number, state in states.items() if state.finalised or state.aborted}
    last = max(states, default=0)
    near = {*states, *range(last + 1, last + 1 + _NEAR), *(range(max(1, coming - _NEAR), coming + 1) if coming else ())}
    for number in sorted({RoundId(number) for number in near} - ended, reverse=True):
        state = states.get(number)
        status = state.status if state else RoundStatus.NONE
        forgotten = _forgotten(number, state, ledger, store, study)
        # Asked last: a round may have been committed or have ended while this was reading.
        if forgotten is not None and _status(ledger, number) is status:
            raise Refused(
                f"round {number}: {forgotten}, but the ledger says {status}: the chain lost blocks that it had"
                " acknowledged (an older copy was restored, or its operator rewrote it); restore the newest state of"
                " the chain"
            )


def _forgotten(
    number: RoundId, state: RoundState | None, ledger: HistoryReader, store: ObjectStore, study: StudyId | None
) -> str | None:
    """What was signed about the round that can have been signed only when the ledger knew more of it than now."""
    # Who voted for it first, and all else only if most of its nodes did: what others put into the round is not looked
    # at.
    voted = _voted(RoundObjects(store, number, "nodes/"), ledger)
    if all(len(signers) < _FEWEST for signers in voted.values()):
        return None
    objects = RoundObjects(store, number)
    for result, record, names in _decided(objects, voted, ledger, study):
        if state is None or state.committed is None:
            return f"{', '.join(names)} signed its result"
        context = Context(ledger.chain_id, ledger.contract, result.study_digest, number, result.previous_model)
        for member in record.hospitals:
            for digest in objects.digests(object_keys.statement(number, Kind.CONFIRMATION, member.name))[:_READ]:
                try:
                    objects.statement(Kind.CONFIRMATION, member.name, member.address, context, digest)
                except Rejected:
                    continue
                return f"{member.name} confirmed its model"
    return None


def _voted(objects: RoundObjects, ledger: HistoryReader) -> dict[Result, set[Address]]:
    """Results of this round to the accounts that signed them, of whatever study."""
    by_result: dict[Result, set[Address]] = {}
    for name in objects.members("nodes"):
        key_prefix = object_keys.statement(objects.round, Kind.VOTE, NodeName(name))
        for digest in objects.digests(key_prefix)[:_READ]:
            try:
                vote = signing.from_bytes(objects.read(key_prefix, digest))
                result = signing.as_result(vote)
                if result.round == objects.round:
                    by_result.setdefault(result, set()).add(
                        signing.voter(result, vote.signature, ledger.chain_id, ledger.contract)
                    )
            except Rejected:
                continue
    return by_result


def _decided(
    objects: RoundObjects, voted: Mapping[Result, Set[Address]], ledger: HistoryReader, study: StudyId | None
) -> Iterator[tuple[Result, RoundRecord, tuple[NodeName, ...]]]:
    """Results that a majority of a study's nodes signed, each with its record and the names of these nodes.

    A study's nodes are those that the ledger has for it now.
    """
    for result, signers in voted.items():
        try:
            record = record_of(objects, result)
            named = study_id(record.study)
            members = ledger.study(named)
        except Rejected:
            continue
        if study not in (None, named):
            continue
        names = tuple(node.name for node in record.nodes if node.address in signers and node.address in members.nodes)
        if len(names) >= members.threshold:
            yield result, record, names


def _status(ledger: HistoryReader, number: RoundId) -> RoundStatus:
    try:
        return ledger.round(number).status
    except Rejected:
        return RoundStatus.NONE
