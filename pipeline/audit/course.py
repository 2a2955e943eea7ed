"""How a study came to its end: which confirmations decide, read alike by the nodes that conclude it and by auditors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.audit.interfaces import HistoryReader, ObjectStore
from pipeline.audit.round_evidence import HistoryEvidence, RoundEvidence
from pipeline.domain import HospitalName, Kind, RoundId, Sha256, Statement
from pipeline.errors import EvidenceRejected, Rejected
from pipeline.evidence import signing
from pipeline.evidence.canonical import sha256
from pipeline.evidence.signing import Confirmed
from pipeline.ledger_types.state import RoundState
from pipeline.measures import confusion, scores
from pipeline.measures.table import Told, together
from pipeline.store import object_keys
from pipeline.study import course as courses

_MOST_RECORDS = 10**9


def rounds(ledger: HistoryReader, state: RoundState, store: ObjectStore, *, most: int) -> list[RoundEvidence]:
    """The last `most` rounds of a study that trained a model, up to the round `state`, oldest first.

    Those of studies that it continues are not its own.
    """
    found: list[RoundEvidence] = []
    for one in reversed(_own(ledger, state)):
        if len(found) == most:
            break
        evidence = RoundEvidence(one.round, ledger, store)
        if not evidence.record.measures_scale:
            found.append(evidence)
    return found[::-1]


def finished(ledger: HistoryReader, state: RoundState, store: ObjectStore) -> int:
    """Rounds of a study that trained a model, up to the round `state`."""
    own = _own(ledger, state)
    return len(own) - bool(own and RoundEvidence(own[0].round, ledger, store).record.measures_scale)


def confirmed(evidence: RoundEvidence) -> dict[HospitalName, Statement]:
    """Each hospital's one confirmation of the round's model; none of one whose does not hold."""
    found = {}
    for member in evidence.record.hospitals:
        try:
            statement = evidence.objects.statement(Kind.CONFIRMATION, member.name, member.address, evidence.context)
            counted(statement.body, evidence.result.new_model)
        except Rejected:
            continue
        found[member.name] = statement
    return found


def counted(body: Mapping[str, Any], model: Sha256) -> Told:
    """What a confirmation tells of this model; raises EvidenceRejected where it has not the form of one."""
    correct = body.get("correct")
    tested = body.get("tested")
    if body.get("model") != model:
        raise EvidenceRejected(f"got a confirmation of another model than {model}")
    if type(correct) is not int or type(tested) is not int or not 0 <= correct <= tested <= _MOST_RECORDS:
        raise EvidenceRejected(f"got {correct!r} correct of {tested!r}")
    matrix = confusion.told(body.get("confusion"), correct, tested)
    return Told(correct, tested, matrix, None if matrix is None else scores.told(body.get("scores"), matrix))


def named(listed: Mapping[RoundId, Mapping[HospitalName, Statement]]) -> Confirmed:
    """The digests of confirmations, as a conclusion names them."""
    return {
        str(number): {name: sha256(signing.to_bytes(statement)) for name, statement in sorted(one.items())}
        for number, one in listed.items()
    }


def conclusion(evidence: HistoryEvidence) -> str:
    """Where a round concluded its study, that follows from the study's course and the confirmations that are named."""
    event = evidence.state.concluded
    course = evidence.record.course
    if event is None:
        return "the study has no course" if course is None else "its course goes on"
    if course is None:
        raise EvidenceRejected(f"round {evidence.round}: its study was concluded ({event.reason}), and has no course")
    if event.signers.bit_count() < evidence.nodes.threshold:
        raise EvidenceRejected(
            f"round {evidence.round}: {event.signers.bit_count()} nodes concluded its study, want"
            f" {evidence.nodes.threshold}"
        )
    if (after := evidence.after) is not None and after.finalised is not None:
        raise EvidenceRejected(f"round {after.round}: got a model of a study that round {evidence.round} concluded")
    looked_at = rounds(evidence.ledger, evidence.state, evidence.store, most=courses.window(course))
    listed = _listed(evidence, event.evidence)
    if set(listed) != {str(one.round) for one in looked_at}:
        raise EvidenceRejected(
            f"round {evidence.round}: its study was concluded by confirmations of rounds {', '.join(listed)}, want"
            f" those of {', '.join(str(one.round) for one in looked_at)}"
        )
    told_of = [together(_read(one, listed[str(one.round)])) for one in looked_at]
    count = finished(evidence.ledger, evidence.state, evidence.store)
    follows = courses.ending(course, told_of, count)
    if follows != event.reason:
        raise EvidenceRejected(
            f"round {evidence.round}: its study was concluded as {event.reason}; from the confirmations follows"
            f" {follows or 'that it goes on'}"
        )
    left_out = sum(len(confirmed(one).keys() - listed[str(one.round)].keys()) for one in looked_at)
    beside = f"; {left_out} confirmations beside them came later, or were left out" if left_out else ""
    return f"concluded: {courses.because(course, event.reason)}; it follows from what hospitals confirmed{beside}"


def _own(ledger: HistoryReader, state: RoundState) -> list[RoundState]:
    """The study's rounds that ended in a model, up to this one."""
    own = [one for one in ledger.rounds() if one.study == state.study and one.finalised is not None]
    return own[: [one.round for one in own].index(state.round) + 1]


def _listed(evidence: RoundEvidence, digest: Sha256) -> Mapping[str, Mapping[str, Any]]:
    """What the nodes' signed conclusion names, of which the ledger has the digest."""
    for node in evidence.record.nodes:
        key_prefix = object_keys.statement(evidence.round, Kind.CONCLUSION, node.name)
        for one in evidence.objects.digests(key_prefix):
            try:
                statement = signing.from_bytes(evidence.objects.read(key_prefix, one))
                said = signing.check_conclusion(
                    statement, evidence.ledger.chain_id, evidence.ledger.contract, node.address
                )
            except Rejected:
                continue
            if said.evidence == digest and said.round == evidence.round:
                listed: Mapping[str, Mapping[str, Any]] = statement.body["confirmations"]
                return listed
    raise EvidenceRejected(
        f"round {evidence.round}: got no conclusion signed by a node whose confirmations have the ledger's digest"
        f" {digest[:16]}"
    )


def _read(evidence: RoundEvidence, listed: Mapping[str, Any]) -> Iterator[Told]:
    for name, digest in listed.items():
        hospital = HospitalName(name)
        if all(member.name != hospital for member in evidence.record.hospitals):
            raise EvidenceRejected(f"round {evidence.round}: got a confirmation of {name}, who is no hospital of it")
        statement = evidence.objects.statement(
            Kind.CONFIRMATION, hospital, evidence.address(hospital), evidence.context, Sha256(digest)
        )
        yield counted(statement.body, evidence.result.new_model)
