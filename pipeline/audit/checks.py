"""The checks of a finalised round, in the order in which an auditor reads them.

Each returns what it saw or raises what does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice, product
from typing import Generic, TypeVar

from eth_utils.crypto import keccak

from pipeline.audit.confirmation import counted
from pipeline.audit.course import conclusion
from pipeline.audit.history import input_scale, lineage, strikes
from pipeline.audit.round_evidence import HistoryEvidence, RoundEvidence
from pipeline.audit.round_objects import naming
from pipeline.audit.round_record import RecordNode, RoundRecord
from pipeline.audit.subgroups import counted_hospitals, subgroups
from pipeline.domain import (
    Abort,
    HospitalName,
    Kind,
    NodeName,
    Result,
    RoundStatus,
    Sha256,
    Statement,
    Verdict,
    sha256_text,
)
from pipeline.errors import EvidenceRejected, ObjectMissing, Rejected
from pipeline.evidence import canonical, randomness, signing
from pipeline.evidence.canonical import sha256
from pipeline.store import object_keys

_MOST_TRIES = 2**16
"""As many combinations of key records are tried: four nodes with as many as their places show."""


EvidenceT = TypeVar("EvidenceT", bound=RoundEvidence, contravariant=True)


@dataclass(frozen=True)
class CheckStep(Generic[EvidenceT]):
    """One check, of the evidence that it reads: it runs only when those that it stands on have passed."""

    name: str
    run: Callable[[EvidenceT], str]
    needs: tuple[str, ...] = ()


def ledger(evidence: RoundEvidence) -> str:
    """A majority of all the study's nodes finalised the round, and the ledger vouches for its model."""
    state = evidence.state
    if state.status is not RoundStatus.FINALISED:
        raise EvidenceRejected(
            f"round {evidence.round}: the ledger says {state.status}, want {RoundStatus.FINALISED}; it has not ended"
        )
    nodes = len(evidence.nodes.nodes)
    signers = evidence.finalised.signers.bit_count()
    threshold = evidence.nodes.threshold
    if threshold < nodes // 2 + 1 or signers < threshold:
        raise EvidenceRejected(
            f"round {evidence.round}: {signers} of {nodes} nodes signed (threshold {threshold}), want a majority of all"
        )
    if evidence.result.previous_model != state.opened.previous_model:
        raise EvidenceRejected(
            f"round {evidence.round}: ended on model {evidence.result.previous_model}, opened on"
            f" {state.opened.previous_model}"
        )
    if not evidence.ledger.verify_model(evidence.round, evidence.result.new_model):
        raise EvidenceRejected(
            f"round {evidence.round}: the ledger does not vouch for model {evidence.result.new_model}"
        )
    location = evidence.finalised.location
    return f"finalised in block {location.block}, transaction {location.transaction}, by {signers} of {nodes} nodes"


def record(evidence: RoundEvidence) -> str:
    """The stored record has the ledger's digest and says what the ledger says."""
    record = evidence.record
    nodes = tuple(evidence.nodes.nodes)
    with naming(object_keys.record(evidence.round), evidence.result.record):
        if keccak(record.study.encode()).hex() != evidence.state.study:
            raise EvidenceRejected(f"study: got {record.study!r}, whose id is not the ledger's {evidence.state.study}")
        if tuple(node.address for node in record.nodes) != nodes:
            raise EvidenceRejected(f"nodes: got other addresses than the ledger's {', '.join(nodes)}")
    return f"{record.study}, {record.engine} {record.protocol}: {_counts(record)}"


def votes(evidence: RoundEvidence) -> str:
    """Every signature that the ledger counted is a stored vote.

    A majority of all nodes voted for exactly this result.
    """
    agreed: set[str] = set()
    beside: list[str] = []
    for signature in evidence.ledger.signatures(evidence.finalised):
        node = _voter(evidence, signature)
        expected = sha256(signing.to_bytes(_vote(evidence, node, signature)))
        key_prefix = object_keys.statement(evidence.round, Kind.VOTE, node.name)
        evidence.objects.read(key_prefix, expected)
        agreed.add(node.name)
        if second := another_decision(evidence, node, expected):
            raise EvidenceRejected(f"{second}: got a second decision of {node.name} beside {expected[:16]}, want one")
    for node in evidence.record.nodes:
        if node.name not in agreed:
            cast = _signed_votes(evidence, node)
            if len(cast) > 1:
                raise EvidenceRejected(f"round {evidence.round}: got {len(cast)} votes of {node.name}, want one")
            for digest, result in cast.items():
                if result == evidence.result:
                    agreed.add(node.name)
                else:
                    beside.append(f"{node.name} signed another")
                if another_decision(evidence, node, digest):
                    beside.append(f"{node.name} signed an end without one too")
    nodes = evidence.record.nodes
    counted = {node.name for index, node in enumerate(nodes) if evidence.finalised.signers >> index & 1}
    if len(agreed) < evidence.nodes.threshold or not counted <= agreed:
        raise EvidenceRejected(
            f"round {evidence.round}: got votes of {', '.join(sorted(agreed))}, the ledger counted"
            f" {', '.join(sorted(counted))}"
        )
    return f"{len(agreed)} of {len(nodes)} nodes signed this result" + "".join(f"; {what}" for what in beside)


def sealing_keys(evidence: RoundEvidence) -> str:
    """Each node signed the key record with which the round was opened."""
    records = _key_records(evidence)
    return f"{len(records)} keys, each signed by its node" + _restless(evidence, Kind.SEALING_KEY)


def commit(evidence: RoundEvidence) -> str:
    """The list of manifests has the Merkle root that the ledger holds."""
    listed = evidence.commit_list
    direct = {event.manifest for event in evidence.state.direct}
    if not direct <= set(listed.values()):
        raise EvidenceRejected(
            f"round {evidence.round}: the committed list lacks a manifest that a hospital committed directly"
        )
    if not set(listed) <= set(evidence.record.verdicts) or any(
        listed.get(name) != digest for name, digest in evidence.record.inputs.items()
    ):
        raise EvidenceRejected(
            f"round {evidence.round}: the record's inputs are not all in the committed list of"
            f" {', '.join(sorted(listed))}"
        )
    for hospital, digest in evidence.record.inputs.items():
        evidence.objects.read(object_keys.statement(evidence.round, Kind.MANIFEST, hospital), digest)
    return f"{len(listed)} manifests under root {evidence.result.commit_root[:16]}"


def manifests(evidence: RoundEvidence) -> str:
    """Every manifest of the input set is signed by a hospital that the ledger authorised.

    No component stands twice.
    """
    seen: dict[str, HospitalName] = {}
    nodes = {node.name for node in evidence.record.nodes}
    for hospital, statement in evidence.manifests.items():
        key_prefix = object_keys.statement(evidence.round, Kind.MANIFEST, hospital)
        digest = evidence.record.inputs[hospital]
        with naming(key_prefix, digest):
            status = evidence.ledger.hospital(evidence.address(hospital))
            if status not in ("authorised", "revoked", "retired"):
                raise EvidenceRejected(f"the ledger says that {hospital} is {status}, want authorised (then or now)")
            for component in _components(statement, hospital, nodes):
                if component in seen:
                    raise EvidenceRejected(
                        f"component {component[:16]} stands in the manifest of {seen[component]} too"
                    )
                seen[component] = hospital
    # The commit root decides which one counts: what its author says later changes nothing, and must not spoil the round
    # for others.
    restless = [
        name
        for name in evidence.manifests
        if len(evidence.objects.digests(object_keys.statement(evidence.round, Kind.MANIFEST, name))) > 1
    ]
    return f"{len(evidence.manifests)} manifests, {len(seen)} components, no digest twice" + "".join(
        f"; {name} posted another manifest beside the committed one" for name in restless
    )


def validations(evidence: RoundEvidence) -> str:
    """Every manifest stands on a signed validation that passed."""
    for hospital, manifest in evidence.manifests.items():
        key_prefix = object_keys.statement(evidence.round, Kind.VALIDATION, hospital)
        digest = Sha256(str(manifest.body.get("validation")))
        statement = evidence.objects.statement(
            Kind.VALIDATION, hospital, evidence.address(hospital), evidence.context, digest
        )
        with naming(key_prefix, digest):
            if statement.body.get("passed") is not True:
                raise EvidenceRejected(f"{hospital} took part with records that failed its data contract")
    return f"{len(evidence.manifests)} hospitals took part, each with records that passed its data contract"


def input_set(evidence: RoundEvidence) -> str:
    """All nodes signed one input set and why everybody else is absent, and the record says the same."""
    said = {"inputs": dict(evidence.record.inputs), "absent": dict(evidence.record.absent)}
    for node in evidence.record.nodes:
        signed = evidence.objects.statements(Kind.INPUT_SET, node.name, node.address, evidence.context)
        if all(dict(statement.body) != said for statement in signed):
            raise EvidenceRejected(f"round {evidence.round}: {node.name} signed another input set than the record's")
    counts = f"{len(evidence.record.inputs)} inputs and {len(evidence.record.absent)} absences"
    return f"{len(evidence.record.nodes)} nodes signed the same {counts}" + _restless(evidence, Kind.INPUT_SET)


def seed(evidence: RoundEvidence) -> str:
    """What is drawn in a round comes from nonces to which every node committed before it opened."""
    records = _key_records(evidence)
    if evidence.record.seed is None:
        committed = any("nonce_commitment" in record.body for record in records)
        if committed and not evidence.record.measures_scale:
            raise EvidenceRejected(
                f"round {evidence.round}: the nodes committed to nonces, and the record has no seed that they give"
            )
        return "nothing was drawn in this round"
    nonces = {}
    for node, record in zip(evidence.record.nodes, records, strict=True):
        problems = []
        for revealed in evidence.objects.statements(Kind.NONCE, node.name, node.address, evidence.context):
            try:
                nonces[node.name] = randomness.checked(
                    node.name, revealed.body.get("nonce"), record.body.get("nonce_commitment")
                )
            except EvidenceRejected as error:
                problems.append(error)
        if node.name not in nonces:
            raise problems[0]
    expected = randomness.seed(evidence.context, evidence.result.commit_root, nonces)
    if evidence.record.seed != expected:
        raise EvidenceRejected(
            f"round {evidence.round}: the record's seed is {evidence.record.seed}, the nodes' nonces give {expected}"
        )
    return f"{len(nonces)} nonces, each committed to before the round opened, give the round's seed"


def model(evidence: RoundEvidence) -> str:
    """The new model is stored once, with the digest that the ledger holds, as 64-bit integers, and its scale."""
    model = evidence.model(evidence.result.new_model)
    scale = f" and the scale of {len(model.scale.means)} inputs" if model.scale else ""
    return f"{len(model.parameters)} parameters{scale}, sha256 {evidence.result.new_model}"


def confirmations(evidence: RoundEvidence) -> str:
    """What hospitals confirmed is signed and is about this model."""
    confirmed = []
    for member in evidence.record.hospitals:
        key_prefix = object_keys.statement(evidence.round, Kind.CONFIRMATION, member.name)
        if not evidence.objects.digests(key_prefix):
            continue
        try:
            statement = evidence.objects.statement(Kind.CONFIRMATION, member.name, member.address, evidence.context)
        except (EvidenceRejected, ObjectMissing):
            continue  # nothing that holds: the round does not stand on it
        with naming(key_prefix, sha256(signing.to_bytes(statement))):
            counted(statement.body, evidence.record)
        confirmed.append(member.name)
    missing = [member.name for member in evidence.record.hospitals if member.name not in confirmed]
    return f"{len(confirmed)} of {len(evidence.record.hospitals)} hospitals confirmed the model" + (
        f"; not yet: {', '.join(missing)}" if missing else ""
    )


def objects(evidence: RoundEvidence) -> str:
    """How much was stored for the round.

    What does not have the digest in its name is nobody's evidence, and a finding.
    """
    kept = []
    strays = len(evidence.objects.keys)
    for key in evidence.objects.keys:
        if not object_keys.holds(key):
            continue
        strays -= 1
        try:
            evidence.objects.read_key(key, Sha256(key.rpartition("/")[2].partition(".")[0]))
            kept.append(key)
        except (EvidenceRejected, ObjectMissing) as error:
            evidence.objects.findings[f"{object_keys.REPORTS}/{key}"] = (
                f"{error}; {object_keys.writers(key)} wrote it, or it is damaged"
            )
    packed = f" ({evidence.objects.packed} read from the round's pack)" if evidence.objects.packed else ""
    return f"{len(kept)} objects of the round, each with the digest in its name{packed}" + (
        f"; {strays} beside them are no evidence" if strays else ""
    )


OF_ONE_ROUND: tuple[CheckStep[RoundEvidence], ...] = (
    CheckStep("ledger", ledger),
    CheckStep("record", record, ("ledger",)),
    CheckStep("votes", votes, ("record",)),
    CheckStep("sealing keys", sealing_keys, ("record",)),
    CheckStep("commit list", commit, ("record",)),
    CheckStep("manifests", manifests, ("commit list",)),
    CheckStep("validations", validations, ("manifests",)),
    CheckStep("input set", input_set, ("record",)),
    CheckStep("seed", seed, ("sealing keys",)),
    CheckStep("model", model, ("ledger",)),
    CheckStep("confirmations", confirmations, ("record",)),
    CheckStep("subgroups", subgroups, ("record", "manifests")),
)
"""What a round shows by itself, also without a chain."""

CHECKS: tuple[CheckStep[HistoryEvidence], ...] = (
    *OF_ONE_ROUND,
    CheckStep("conclusion", conclusion, ("record",)),
    CheckStep("lineage", lineage, ("ledger",)),
    CheckStep("input scale", input_scale, ("record", "lineage")),
    CheckStep("strikes and budget", strikes, ("record", "lineage")),
    CheckStep("counted hospitals", counted_hospitals, ("subgroups", "lineage")),
    CheckStep("objects", objects),
)


def _key_records(evidence: RoundEvidence) -> tuple[Statement, ...]:
    """What the nodes signed that the round was opened with, in their order, whatever else one of them signed since."""
    signed = [
        evidence.objects.statements(Kind.SEALING_KEY, node.name, node.address, evidence.context)
        for node in evidence.record.nodes
    ]
    for records in islice(product(*signed), _MOST_TRIES):
        if (
            canonical.joint_digest([canonical.digest(statement.body) for statement in records])
            == evidence.state.opened.sealing_keys
        ):
            return records
    raise EvidenceRejected(f"round {evidence.round}: the nodes signed other key records than the round was opened with")


def _restless(evidence: RoundEvidence, kind: Kind) -> str:
    """Who signed more than one statement of a kind; the ledger or the record decides which one counts."""
    signed = {
        node.name: evidence.objects.statements(kind, node.name, node.address, evidence.context)
        for node in evidence.record.nodes
    }
    return "".join(
        f"; {name} signed another one beside it" for name, statements in signed.items() if len(statements) > 1
    )


def another_decision(evidence: RoundEvidence, node: RecordNode, vote: Sha256) -> str | None:
    """Name of another vote, or of an end, of this round that the node signed beside `vote`.

    What it did not sign is none of its own.
    """
    chain_id = evidence.ledger.chain_id
    contract = evidence.ledger.contract
    checks: tuple[tuple[Kind, Callable[..., Result | Abort]], ...] = (
        (Kind.VOTE, signing.check_vote),
        (Kind.ABORT, signing.check_abort),
    )
    for kind, check in checks:
        key_prefix = object_keys.statement(evidence.round, kind, node.name)
        for digest in evidence.objects.digests(key_prefix):
            if digest != vote:
                with suppress(Rejected):
                    if (
                        check(
                            signing.from_bytes(evidence.objects.read(key_prefix, digest)),
                            chain_id,
                            contract,
                            node.address,
                        ).round
                        == evidence.round
                    ):
                        return f"{key_prefix.bucket}/{key_prefix.key(digest)}"
    return None


def _components(manifest: Statement, hospital: HospitalName, nodes: set[NodeName]) -> list[Sha256]:
    components = manifest.body.get("components")
    envelopes = manifest.body.get("envelopes")
    if (
        manifest.body.get("hospital") != hospital
        or not isinstance(components, list)
        or not isinstance(envelopes, dict)
        or set(envelopes) != nodes
        or len(components) != len(nodes)
    ):
        raise EvidenceRejected(f"got a body that is no manifest of {hospital} for nodes {', '.join(sorted(nodes))}")
    return [sha256_text(component, f"component of {hospital}") for component in components]


def _vote(evidence: RoundEvidence, node: RecordNode, signature: str) -> Statement:
    return Statement(Kind.VOTE, node.name, asdict(evidence.result), signature)


def _signed_votes(evidence: RoundEvidence, node: RecordNode) -> dict[Sha256, Result]:
    """The votes that a node signed, by digest; what it did not sign is none of its own."""
    key_prefix = object_keys.statement(evidence.round, Kind.VOTE, node.name)
    results_by_digest = {}
    for digest in evidence.objects.digests(key_prefix):
        with suppress(Rejected):
            vote = signing.from_bytes(evidence.objects.read(key_prefix, digest))
            results_by_digest[digest] = signing.check_vote(
                vote, evidence.ledger.chain_id, evidence.ledger.contract, node.address
            )
    return results_by_digest


def _voter(evidence: RoundEvidence, signature: str) -> RecordNode:
    signer = signing.voter(evidence.result, signature, evidence.ledger.chain_id, evidence.ledger.contract)
    for node in evidence.record.nodes:
        if node.address == signer:
            return node
    raise EvidenceRejected(
        f"round {evidence.round}: the ledger counted a signature that no node of the study made over this result"
    )


def _counts(record: RoundRecord) -> str:
    verdicts: Mapping[HospitalName, Verdict] = record.verdicts
    return ", ".join(f"{sum(value is verdict for value in verdicts.values())} {verdict}" for verdict in Verdict)
