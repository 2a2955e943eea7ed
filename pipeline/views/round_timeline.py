"""How a round went, from its opening to its end: transactions, and who voted what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.audit.checks import another_decision
from pipeline.audit.round_evidence import RoundEvidence
from pipeline.audit.round_record import RecordNode
from pipeline.chain.ledger import RoundState
from pipeline.domain import Address, Kind, NodeName, RoundId, Sha256
from pipeline.errors import EvidenceRejected
from pipeline.evidence import signing
from pipeline.ledger_types.events import TxLocation
from pipeline.report.stage_timings import stored_report
from pipeline.store import object_keys
from pipeline.views.observer import Observer


class Said(StrEnum):
    """What a node's stored vote says about the result that the ledger has."""

    THIS = "this result"
    ANOTHER = "another result"
    TWO = "two decisions"
    NOTHING = "no vote"
    UNREADABLE = "no vote that holds"


@dataclass(frozen=True)
class TimelineStep:
    """One transaction of a round."""

    what: str
    detail: str
    location: TxLocation


@dataclass(frozen=True)
class NodeVote:
    """One node's vote."""

    node: NodeName
    address: Address
    said: Said
    counted: bool
    """Whether the ledger counted its signature."""
    digest: Sha256 | None
    """Of the stored statement, where there is one."""
    signature: str | None
    detail: str = ""


@dataclass(frozen=True)
class RoundTimeline:
    """One round; votes and report are empty until it is finalised."""

    state: RoundState
    steps: tuple[TimelineStep, ...]
    votes: tuple[NodeVote, ...]
    report: dict[str, Sha256]
    """Suffix to digest of the stored report's forms."""
    blocks_since: int
    """How many blocks stand on the one of its last transaction."""


def round_timeline(round_id: RoundId, observer: Observer) -> RoundTimeline:
    """Read one round; raises EvidenceRejected when it was never opened or its record does not hold."""
    evidence = RoundEvidence(round_id, observer.ledger, observer.store)
    state = observer.ledger.round(round_id)
    steps = _steps(state, {member.address: member.name for member in evidence.record.hospitals} if state.result else {})
    return RoundTimeline(
        state=state,
        steps=steps,
        votes=tuple(_vote(evidence, index, node) for index, node in enumerate(evidence.record.nodes))
        if state.result
        else (),
        report=_report(evidence),
        blocks_since=max(0, observer.ledger.height() - steps[-1].location.block),
    )


def _steps(state: RoundState, names: dict[Address, str]) -> tuple[TimelineStep, ...]:
    opened = state.opened
    steps = [TimelineStep("opened", f"from model {opened.previous_model}", opened.location)]
    for one in state.direct:
        who = names.get(one.hospital, one.hospital)
        steps.append(
            TimelineStep(
                "committed directly", f"manifest {one.manifest} by {who}, past the service provider", one.location
            )
        )
    if state.committed:
        steps.append(
            TimelineStep("committed", f"set of manifests under root {state.committed.root}", state.committed.location)
        )
    if state.finalised:
        steps.append(TimelineStep("finalised", f"with model {state.finalised.new_model}", state.finalised.location))
    if state.aborted:
        end = state.decided
        how = f"by {end.signers.bit_count()} nodes, {end.reason}" if end else f"while {state.aborted.aborted_from}"
        steps.append(TimelineStep("aborted", f"{how}; the model before stays", state.aborted.location))
    return tuple(sorted(steps, key=lambda step: step.location.block))


def _vote(evidence: RoundEvidence, index: int, node: RecordNode) -> NodeVote:
    location = object_keys.statement(evidence.round, Kind.VOTE, node.name)
    counted = bool(evidence.finalised.signers >> index & 1)
    digests = evidence.objects.digests(location)
    if len(digests) != 1:
        said = Said.TWO if digests else Said.NOTHING
        return NodeVote(node.name, node.address, said, counted, None, None, ", ".join(digests))
    (digest,) = digests
    try:
        vote = signing.from_bytes(evidence.objects.read(location, digest))
        cast = signing.check_vote(vote, evidence.ledger.chain_id, evidence.ledger.contract, node.address)
    except EvidenceRejected as error:
        return NodeVote(node.name, node.address, Said.UNREADABLE, counted, digest, None, str(error))
    if second := another_decision(evidence, node, digest):
        return NodeVote(node.name, node.address, Said.TWO, counted, digest, vote.signature, second)
    said = Said.THIS if cast == evidence.result else Said.ANOTHER
    detail = "" if said is Said.THIS else f"model {cast.new_model}, record {cast.record}"
    return NodeVote(node.name, node.address, said, counted, digest, vote.signature, detail)


def _report(evidence: RoundEvidence) -> dict[str, Sha256]:
    """Digests of the report's files, by suffix: only those that the stored JSON names.

    Others cannot write under the report's keys, but a torn writing may lie there.
    """
    content = stored_report(evidence.objects, evidence.round)
    if content is None or not isinstance(content.get("files"), dict):
        return {}
    named = {str(suffix): digest for suffix, digest in content["files"].items() if isinstance(digest, str)}
    held = {
        suffix: Sha256(digest)
        for suffix, digest in named.items()
        if digest in evidence.objects.digests(object_keys.report(evidence.round, suffix))
    }
    main = evidence.objects.digests(object_keys.report(evidence.round, "json"))
    return held | ({"json": main[0]} if main else {})
