"""What a round ought to come to, computed in the clear."""

from __future__ import annotations

from pipeline.domain import HospitalName, RoundId
from pipeline.evidence.canonical import sha256
from pipeline.model_file import model_bytes
from pipeline.mpc import reference, rule
from pipeline.mpc.engines.base import AggregateTask, VerifyTask
from pipeline.round.parameters import rule_parameters
from pipeline.round.study_history import lineage
from tests.support.dealers import shared_vector
from tests.support.installed import Installed
from tests.support.rounds import Play


def computed_in_the_clear(site: Installed, play: Play, round_id: RoundId) -> tuple[dict[HospitalName, str], str]:
    """Verdicts and new model of a round in which every hospital shared, from payloads and the plain reference."""
    contexts = {name: site.hospital_context(play, round_id, name) for name in play.study.hospitals}
    payloads = {name: shared_vector(ctx) for name, ctx in contexts.items()}
    worker = next(iter(contexts.values())).worker
    previous = worker.model(worker.ledger.round(round_id).opened.previous_model).parameters
    past = lineage(worker)
    network = play.study.network
    task = VerifyTask(play.study.hospitals, network, rule_parameters(play.study, past.finished, past.budget), previous)
    bits, _ = reference.verify(task, payloads)
    accepted = tuple(name for name, bit in zip(task.hospitals, bits, strict=True) if bit)
    total, count = reference.aggregate(AggregateTask(accepted, network.size), payloads)
    verdicts = {name: "accepted" if name in accepted else "rejected" for name in task.hospitals}
    return verdicts, sha256(model_bytes(rule.new_model(previous, total, count)))
