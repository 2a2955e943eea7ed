"""Rounds of a large model in memory: what peers see of it that projections do not."""

from __future__ import annotations

import pytest

from pipeline.audit.round_record import RoundRecord
from pipeline.domain import Condition
from pipeline.errors import EvidenceRejected
from pipeline.host import ports
from pipeline.mpc import reference, reference_projected
from pipeline.mpc.engines.base import ProjectedTask
from pipeline.mpc.projections import project
from pipeline.replay.reproduce import reproduce
from pipeline.round.parameters import rule_parameters
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.dealers import shared_vector
from tests.support.installed import HOSPITALS
from tests.support.memory.site import MemorySite
from tests.support.thresholds import FOR_FEW_SAMPLES

ELM = HOSPITALS[4]

LARGE = {
    "mode": "large",
    "model": [{"Linear": {"out_features": 3040}}, {"ReLU": {}}, {"Linear": {"out_features": 2}}],
    "rule": {"images_per_hospital": 6, **FOR_FEW_SAMPLES, "strikes": 4, "reveal_condition": True},
}


@pytest.mark.usefixtures("flips_labels")
@attack(
    by="hospital",
    to="change",
    tries="to flip a large model's labels within the budget",
    costs="a strike",
    seen="its rejection, on the ledger",
)
def test_a_large_model_that_flips_labels_within_the_budget_is_rejected_by_its_peers_alone(
    site: MemorySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = site.play("large_flip", **LARGE)
    play.round("first")
    round_id = play.open("second")
    play.hospitals(round_id)
    contexts = {name: site.hospital_context(play, round_id, name) for name in play.study.hospitals}
    payloads = {name: shared_vector(ctx) for name, ctx in contexts.items()}
    worker = contexts[ELM].worker
    previous = worker.model(worker.ledger.round(round_id).opened.previous_model)
    play.decide(round_id)

    finalised = site.ledger.round(round_id).finalised
    assert finalised is not None
    written = RoundRecord.from_bytes(site.board().fetch(object_keys.record(round_id), finalised.record))
    assert written.seed is not None
    parameters = rule_parameters(play.study, 1, written.budget)
    task = ProjectedTask(play.study.hospitals, play.study.network, parameters, previous.parameters, written.seed)
    rows = project(list(reference.updates_of(task, payloads)), task.network.size, task.seed)
    expected = reference_projected.explain(task, dict(zip(payloads, rows, strict=True)), payloads)
    # what projections alone would have let through
    assert all(expected.measured.size)
    assert all(expected.measured.direction)
    assert expected.peers == (True, True, True, True, False)
    assert written.accepted == HOSPITALS[:4]
    assert written.failed == {ELM: Condition.PEERS}
    assert written.next_budget == expected.budget
    site.audits(round_id)

    # An engine in memory takes an address for a name.
    monkeypatch.setattr(ports, "choose", lambda count: 30_000)
    updates = {name: words[: task.network.size] for name, words in payloads.items()}
    assert reproduce(play.study, written, previous, updates, 1, site.settings) == written.new_model
    otherwise = written.model_copy(update={"failed": {ELM: Condition.DIRECTION}})
    with pytest.raises(EvidenceRejected, match="reproduced verdicts"):
        reproduce(play.study, otherwise, previous, updates, 1, site.settings)
