"""Rounds of a large model: checked on projections, opened as a mean.

What a node does wrong is caught, and corrected where it can be.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nacl.public import PrivateKey

from pipeline.audit.round_record import RoundRecord
from pipeline.domain import HospitalName, Kind, NodeName, RoundId, Sha256
from pipeline.errors import EvidenceRejected, RoundAborted, Unavailable, WardroundError
from pipeline.evidence.canonical import sha256
from pipeline.model_file import Model, Vector, model_bytes
from pipeline.mpc import reference_projected, rule
from pipeline.mpc.engines.base import ProjectedTask
from pipeline.replay.reproduce import reproduce
from pipeline.round import evaluation_large, node, seed
from pipeline.round.input_set import Inputs
from pipeline.round.journal import Journal
from pipeline.round.node_round import NodeRound
from pipeline.round.parameters import rule_parameters
from pipeline.round.payload import before_counts
from pipeline.round.worker import RoundContext
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.consortia import HOSPITALS, NODES, Site
from tests.support.dealers import Dealing, shared_vector
from tests.support.rounds import Play
from tests.support.thresholds import FOR_FEW_SAMPLES

pytestmark = [pytest.mark.store, pytest.mark.anvil]

NORTH, EAST, WEST = NODES[:3]
ELM = HOSPITALS[4]

LARGE = {
    "mode": "large",
    "model": [{"Linear": {"out_features": 3040}}, {"ReLU": {}}, {"Linear": {"out_features": 2}}],
    "rule": {"images_per_hospital": 6, **FOR_FEW_SAMPLES, "strikes": 4},
    "training": {"steps": 2, "batch_size": 16},
    "deadlines": {"commit_seconds": 600, "result_seconds": 900},
}


@pytest.fixture
def west_sums_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    """West adds 1 to a coordinate of one component before it sums."""
    honest = evaluation_large.open_mean

    def deviating(
        ctx: RoundContext,
        inputs: Inputs,
        accepted: Sequence[HospitalName],
        key: PrivateKey,
        journal: Journal,
        path: Path,
        deadline: float,
    ) -> int:
        if ctx.worker.identity.name == WEST:
            first = accepted[0]
            words = np.array(inputs.components[first][1][:])
            words[70_000] += 1
            inputs = replace(inputs, components={**inputs.components, first: {**inputs.components[first], 1: words}})
        return honest(ctx, inputs, accepted, key, journal, path, deadline)

    monkeypatch.setattr(evaluation_large, "open_mean", deviating)


def outcomes(play: Play, step: str, round_id: RoundId) -> dict[NodeName, WardroundError | None]:
    """What became of a step at each node, all at the same time."""
    found: dict[NodeName, WardroundError | None] = {}

    def take(name: NodeName) -> None:
        try:
            getattr(node, step)(play.study.name, round_id, name, play.settings)
            found[name] = None
        except WardroundError as error:
            found[name] = error

    play.each(take)
    return found


@pytest.mark.mp_spdz
@pytest.mark.usefixtures("west_sums_wrongly")
@attack(
    by="node",
    to="change",
    tries="to sum a large model's updates wrongly",
    costs="its name in the round",
    seen="its component sum, which the others contradict",
)
def test_four_nodes_reject_a_coordinate_that_wraps_and_open_the_exact_mean_though_one_of_them_sums_wrongly(
    site: Site,
) -> None:
    play = site.play("large_of_four", nodes=list(NODES), engine="mp-spdz", protocol="rep4-ring", **LARGE)
    round_id = play.open()
    play.hospitals(round_id, HOSPITALS[:4])
    for step in ("validate", "train"):
        play.hospital(step, round_id, ELM)
    contexts = {name: site.hospital_context(play, round_id, name) for name in play.study.hospitals}
    updates = {name: shared_vector(ctx) for name, ctx in contexts.items()}
    assert {len(update) for update in updates.values()} == {before_counts(play.study)}
    # its square is 0 modulo 2^64
    updates[ELM][5] = 1 << 32
    Dealing.honest(contexts[ELM], updates[ELM]).post()
    play.commit(round_id)
    play.verify(round_id)
    voted = outcomes(play, "aggregate", round_id)
    play.end(round_id)

    assert "computed another component sum" in str(voted.pop(WEST))
    assert set(voted.values()) == {None}
    record = site.record(round_id)
    drawn = Sha256(record["seed"])
    previous = contexts[ELM].worker.model(record["previous_model"])
    numbers = rule_parameters(play.study, 0, None)
    task = ProjectedTask(play.study.hospitals, play.study.network, numbers, previous.parameters, drawn)
    bits, budget = reference_projected.verify(task, updates)
    verdicts = {name: "accepted" if bit else "rejected" for name, bit in zip(play.study.hospitals, bits, strict=True)}
    assert record["verdicts"] == verdicts == {**dict.fromkeys(HOSPITALS[:4], "accepted"), ELM: "rejected"}
    assert record["next_budget"] == budget
    updates = {name: words[: task.network.size] for name, words in updates.items()}
    total = np.sum([updates[name] for name in HOSPITALS[:4]], axis=0, dtype=np.int64)
    assert record["new_model"] == sha256(model_bytes(rule.new_model(previous.parameters, total, 4)))
    site.audits(round_id)
    reproduces(site, play, round_id, previous, updates)
    for name in play.study.nodes:
        home = site.settings.node(name)
        assert not [
            *(home / "sealing").glob(f"{round_id}*"),
            *(home / "journal").glob(f"total-{round_id}*"),
            *(home / "work").glob("*"),
        ]
        assert not (home / "opened" / str(round_id)).exists()
    assert not site.board().digests(object_keys.lent_sum(round_id, WEST, NORTH, 0))


def reproduces(
    site: Site, play: Play, round_id: RoundId, previous: Model, updates: Mapping[HospitalName, Vector]
) -> None:
    """Fail unless the round can be computed again, on one machine, and another record of it cannot."""
    finalised = site.ledger.round(round_id).finalised
    assert finalised is not None
    written = RoundRecord.from_bytes(site.board().fetch(object_keys.record(round_id), finalised.record))
    assert reproduce(play.study, written, previous, updates, 0, site.settings) == written.new_model
    for change, why in (
        ({"new_model": written.previous_model}, "reproduced model"),
        ({"seed": None}, "without a seed"),
    ):
        with pytest.raises(EvidenceRejected, match=why):
            reproduce(play.study, written.model_copy(update=change), previous, updates, 0, site.settings)


@pytest.mark.spu
@pytest.mark.usefixtures("west_sums_wrongly")
def test_three_nodes_check_nothing_without_every_committed_nonce_and_open_nothing_when_one_sums_wrongly(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = site.play("large_of_three", hospitals=list(HOSPITALS[:3]), **LARGE)
    round_id = play.committed()

    reveal = seed.draw

    def withheld_by_west(node: NodeRound) -> Sha256:
        if node.worker.identity.name == WEST:
            raise Unavailable("withheld")
        return reveal(node)

    with monkeypatch.context() as patch:
        patch.setattr(seed, "draw", withheld_by_west)
        patch.setattr(NodeRound, "deadline", property(lambda _: time.monotonic() + 1))
        missed = outcomes(play, "verify", round_id)
    for name in (NORTH, EAST):
        assert isinstance(missed[name], Unavailable)
        assert "no Nonce from west" in str(missed[name])

    play.verify(round_id)
    ctx = site.node_context(play, round_id, NORTH)
    said = {name: site.said(round_id, Kind.NONCE, name) for name in play.study.nodes}
    assert len({seed.agreed_seed(site.node_context(play, round_id, name), said) for name in play.study.nodes}) == 1
    west = site.node_context(play, round_id, WEST)
    for change, why in (
        ({"nonce": "00" * 32}, "not the one it committed to"),
        ({"commit_root": "00" * 32}, "for another commit"),
    ):
        changed = west.worker.sign(Kind.NONCE, {**said[WEST].body, **change}, west.context)
        with pytest.raises(EvidenceRejected, match=f"west: .*{why}"):
            seed.agreed_seed(ctx, said | {WEST: changed})

    for name, error in outcomes(play, "aggregate", round_id).items():
        assert isinstance(error, RoundAborted), name
        assert "component sum 1: north and west say different sums" in str(error)
        assert not site.board().digests(object_keys.statement(round_id, Kind.VOTE, name))
        assert not list((site.settings.node(name) / "journal").glob(f"total-{round_id}*"))
