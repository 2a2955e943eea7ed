"""How a study came to its end: which confirmations decide, read alike by the nodes that conclude it and by auditors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.audit.confirmation import counted
from pipeline.audit.interfaces import HistoryReader, ObjectStore
from pipeline.audit.round_evidence import HistoryEvidence, RoundEvidence
from pipeline.domain import Conclusion, Ending, HospitalName, Kind, RoundId, Sha256, Statement
from pipeline.errors import EvidenceRejected, Rejected
from pipeline.evidence import signing
from pipeline.evidence.canonical import sha256
from pipeline.evidence.signing import Confirmed
from pipeline.ledger_types.state import RoundState
from pipeline.measures.table import Told
from pipeline.store import object_keys
from pipeline.study import course as courses
from pipeline.study.fields import Course


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


def decided(
    ledger: HistoryReader, state: RoundState, store: ObjectStore, course: Course
) -> tuple[Ending | None, Confirmed]:
    """Why the study ends with the round `state` by what lies in the store, and the confirmations that decide it.

    None of them where the number of rounds alone does.
    """
    count = finished(ledger, state, store)
    if courses.has_run(course, count):
        return Ending.MOST_ROUNDS, {}
    looked_at = rounds(ledger, state, store, most=courses.window(course))
    listed = {one.round: confirmed(one) for one in looked_at}
    told = [
        _weighed(course, one, (counted(said.body, one.record) for said in listed[one.round].values()))
        for one in looked_at
    ]
    return courses.ending(course, told, count), named(listed)


def confirmed(evidence: RoundEvidence) -> dict[HospitalName, Statement]:
    """The one confirmation of the round's model by each hospital that it accepted; none of one whose does not hold."""
    found = {}
    for name in evidence.record.accepted:
        try:
            statement = evidence.objects.statement(Kind.CONFIRMATION, name, evidence.address(name), evidence.context)
            counted(statement.body, evidence.record)
        except Rejected:
            continue
        found[name] = statement
    return found


def named(listed: Mapping[RoundId, Mapping[HospitalName, Statement]]) -> Confirmed:
    """The digests of confirmations, as a conclusion names them."""
    return {
        str(number): {name: sha256(signing.to_bytes(statement)) for name, statement in sorted(one.items())}
        for number, one in listed.items()
    }


def named_before(
    ledger: HistoryReader, state: RoundState, store: ObjectStore, course: Course, said: Conclusion
) -> Confirmed | None:
    """The confirmations that another node concluded the study by; None where its reason does not follow from them."""
    evidence = HistoryEvidence(state.round, ledger, store)
    try:
        listed = _listed(evidence, said.evidence)
        looked_at = rounds(ledger, state, store, most=courses.window(course))
        follows = _follows(evidence, course, looked_at, listed)
    except Rejected:
        return None
    return listed if follows == said.reason else None


def conclusion(evidence: HistoryEvidence) -> str:
    """Where a round concluded its study, that follows from the study's course and the confirmations that are named."""
    event = evidence.state.concluded
    course = evidence.record.course
    if event is None:
        return "the study has no course" if course is None else _not_concluded(evidence, course)
    if course is None:
        raise EvidenceRejected(f"round {evidence.round}: its study was concluded ({event.reason}), and has no course")
    if event.signers.bit_count() < evidence.nodes.threshold:
        raise EvidenceRejected(
            f"round {evidence.round}: {event.signers.bit_count()} nodes concluded its study, want"
            f" {evidence.nodes.threshold}"
        )
    if (after := evidence.after) is not None and after.finalised is not None:
        raise EvidenceRejected(f"round {after.round}: got a model of a study that round {evidence.round} concluded")
    by_number = event.reason == Ending.MOST_ROUNDS
    looked_at = (
        [] if by_number else rounds(evidence.ledger, evidence.state, evidence.store, most=courses.window(course))
    )
    listed = _listed(evidence, event.evidence)
    follows = _follows(evidence, course, looked_at, listed)
    if follows != event.reason:
        raise EvidenceRejected(
            f"round {evidence.round}: its study was concluded as {event.reason}; from the confirmations follows"
            f" {follows or 'that it goes on'}"
        )
    left_out = sum(len(confirmed(one).keys() - listed[str(one.round)].keys()) for one in looked_at)
    beside = f"; {left_out} confirmations beside them came later, or were left out" if left_out else ""
    source = "the number of its rounds" if by_number else "what hospitals confirmed"
    return f"concluded: {courses.because(course, event.reason)}; it follows from {source}{beside}"


def _follows(
    evidence: HistoryEvidence,
    course: Course,
    looked_at: Sequence[RoundEvidence],
    listed: Confirmed,
) -> Ending | None:
    """What follows from the confirmations that a conclusion names, which have to be of the rounds `looked_at`."""
    if set(listed) != {str(one.round) for one in looked_at}:
        raise EvidenceRejected(
            f"round {evidence.round}: its study was concluded by confirmations of rounds {', '.join(listed) or 'none'},"
            f" want those of {', '.join(str(one.round) for one in looked_at) or 'none'}"
        )
    told_of = [_weighed(course, one, _read(one, listed[str(one.round)])) for one in looked_at]
    return courses.ending(course, told_of, finished(evidence.ledger, evidence.state, evidence.store))


def _not_concluded(evidence: HistoryEvidence, course: Course) -> str:
    try:
        reason, _ = decided(evidence.ledger, evidence.state, evidence.store, course)
    except EvidenceRejected as error:
        return f"not concluded with this round; whether it should be cannot be told: {error}"
    if reason is None:
        return "its course goes on"
    return f"not concluded with this round, although by what is stored now {courses.because(course, reason)}"


def _weighed(course: Course, evidence: RoundEvidence, told: Iterable[Told]) -> Told | None:
    return courses.weighed(course, told, len(evidence.record.hospitals))


def _own(ledger: HistoryReader, state: RoundState) -> list[RoundState]:
    """The study's rounds that ended in a model, up to this one."""
    own = [one for one in ledger.rounds() if one.study == state.study and one.finalised is not None]
    return own[: [one.round for one in own].index(state.round) + 1]


def _listed(evidence: RoundEvidence, digest: Sha256) -> Confirmed:
    """What a conclusion names that a node signed, by its digest."""
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
                listed: Confirmed = statement.body["confirmations"]
                return listed
    raise EvidenceRejected(
        f"round {evidence.round}: got no conclusion signed by a node whose confirmations have the digest {digest[:16]}"
    )


def _read(evidence: RoundEvidence, listed: Mapping[str, str]) -> Iterator[Told]:
    for name, digest in listed.items():
        hospital = HospitalName(name)
        if hospital not in evidence.record.accepted:
            raise EvidenceRejected(f"round {evidence.round}: got a confirmation of {name}, who was not accepted in it")
        statement = evidence.objects.statement(
            Kind.CONFIRMATION, hospital, evidence.address(hospital), evidence.context, Sha256(digest)
        )
        yield counted(statement.body, evidence.record)
