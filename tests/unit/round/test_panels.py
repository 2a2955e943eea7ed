"""Rounds in memory in which each model is tried on a drawn panel of hospitals."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.audit import checks
from pipeline.audit.round_record import RoundRecord
from pipeline.domain import Condition, Kind, RoundId, Statement
from pipeline.errors import EvidenceRejected
from pipeline.host import ports
from pipeline.mpc import panels, reference
from pipeline.mpc.engines.base import VerifyTask
from pipeline.replay.reproduce import reproduce
from pipeline.round import seed
from pipeline.round.parameters import rule_parameters
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.dealers import shared_vector
from tests.support.installed import HOSPITALS
from tests.support.memory.site import MemorySite
from tests.support.thresholds import FOR_FEW_SAMPLES

ELM = HOSPITALS[4]
PANEL = 3
RULE = {"images_per_hospital": 6, **FOR_FEW_SAMPLES, "strikes": 4, "reveal_condition": True, "panel": PANEL}


def record_of(site: MemorySite, round_id: RoundId) -> RoundRecord:
    """What the ledger has of a round."""
    finalised = site.ledger.round(round_id).finalised
    assert finalised is not None
    return RoundRecord.from_bytes(site.board().fetch(object_keys.record(round_id), finalised.record))


@pytest.mark.usefixtures("flips_labels")
@attack(
    by="hospital",
    to="change",
    tries="to flip labels within the budget where a drawn panel tries each model",
    costs="a strike",
    seen="its rejection, on the ledger; and who tried it, from the round's seed",
)
def test_a_flip_within_the_budget_is_rejected_by_the_panel_that_the_seed_draws(
    site: MemorySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = site.play("panel_flip", rule=RULE)
    play.round("first")
    round_id = play.open("second")
    play.hospitals(round_id)
    contexts = {name: site.hospital_context(play, round_id, name) for name in play.study.hospitals}
    payloads = {name: shared_vector(ctx) for name, ctx in contexts.items()}
    worker = contexts[ELM].worker
    previous = worker.model(worker.ledger.round(round_id).opened.previous_model)
    play.decide(round_id)

    written = record_of(site, round_id)
    assert (written.panel, written.accepted) == (PANEL, HOSPITALS[:4])
    assert written.failed == {ELM: Condition.PEERS}
    assert written.seed is not None
    circle = panels.in_circle(play.study.hospitals, written.seed)
    task = VerifyTask(circle, play.study.network, rule_parameters(play.study, 1, written.budget), previous.parameters)
    expected = reference.explain(task, payloads)
    assert expected.counts.shape == (10, PANEL, 2)
    assert {name for name, ok in zip(circle, expected.peers, strict=True) if not ok} == {ELM}
    assert written.next_budget == expected.budget
    site.audits(round_id)

    # An engine in memory takes an address for a name.
    monkeypatch.setattr(ports, "choose", lambda count: 30_000)
    size = play.study.network.size
    updates = {name: words[:size] for name, words in payloads.items()}
    assert reproduce(play.study, written, previous, updates, 1, site.settings) == written.new_model
    with pytest.raises(EvidenceRejected, match="got a record of panel 4, want 3"):
        reproduce(play.study, written.model_copy(update={"panel": 4}), previous, updates, 1, site.settings)
    with pytest.raises(EvidenceRejected, match="got a round without a seed"):
        reproduce(play.study, written.model_copy(update={"seed": None}), previous, updates, 1, site.settings)


def test_each_round_draws_anew_and_a_record_without_what_it_drew_is_none(site: MemorySite) -> None:
    play = site.play("panel_twice", rule=RULE)
    records = [record_of(site, play.round(name)) for name in ("first", "second")]
    assert len({record.seed for record in records}) == 2
    with pytest.raises(EvidenceRejected, match="each model has a panel"):
        RoundRecord.from_bytes(records[0].to_bytes().replace(f'"{records[0].seed}"'.encode(), b"null"))


@pytest.mark.usefixtures("flips_labels")
def test_who_is_in_quarantine_stands_in_no_circle(site: MemorySite) -> None:
    play = site.play("panel_quarantine", rule={**RULE, "strikes": 1, "strike_window": 5})
    assert record_of(site, [play.round(name) for name in ("first", "second")][-1]).quarantined == (ELM,)
    later = record_of(site, play.round("later"))
    assert (set(later.inputs), later.absent[ELM]) == (set(HOSPITALS[:4]), "quarantined")
    assert later.accepted == HOSPITALS[:4]
    site.audits(later.round)


def test_an_audit_refuses_a_record_without_the_seed_that_nodes_committed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    committed = Statement(Kind.SEALING_KEY, "north", {"public_key": "ab" * 32, "nonce_commitment": "cd" * 32}, "")
    monkeypatch.setattr(checks, "_key_records", lambda evidence: (committed,))
    evidence: Any = SimpleNamespace(round=4, record=SimpleNamespace(seed=None, measures_scale=False))
    with pytest.raises(EvidenceRejected, match="round 4: the nodes committed to nonces, and the record has no seed"):
        checks.seed(evidence)
    evidence.record.measures_scale = True
    assert checks.seed(evidence) == "nothing was drawn in this round"


def test_nodes_agree_on_a_seed_by_nonces_that_they_committed_to(site: MemorySite) -> None:
    play = site.play("panel_seed", rule=RULE)
    round_id = play.committed()
    play.verify(round_id)
    nodes = play.study.nodes
    said = {name: site.said(round_id, Kind.NONCE, name) for name in nodes}
    contexts = {name: site.node_context(play, round_id, name) for name in nodes}
    assert len({seed.agreed_seed(context, said) for context in contexts.values()}) == 1
    last = contexts[nodes[-1]]
    other = last.worker.sign(Kind.NONCE, {**said[nodes[-1]].body, "nonce": "00" * 32}, last.context)
    with pytest.raises(EvidenceRejected, match=f"{nodes[-1]}: .*not the one it committed to"):
        seed.agreed_seed(contexts[nodes[0]], said | {nodes[-1]: other})


def test_where_as_many_take_part_as_a_panel_has_all_try_every_model(site: MemorySite) -> None:
    play = site.play("panel_of_all", hospitals=list(HOSPITALS[:4]), rule=RULE)
    round_id = play.open("one stays away")
    play.hospitals(round_id, HOSPITALS[:3])
    play.decide(round_id)
    written = record_of(site, round_id)
    assert (len(written.inputs), written.panel) == (PANEL, PANEL)
    site.audits(round_id)
