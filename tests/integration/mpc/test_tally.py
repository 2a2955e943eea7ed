"""Counts by subgroup under encryption, as each node works on its components: bounds, floor and sum, as in plain."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.domain import NAME_PATTERN
from pipeline.measures.subgroups import told
from pipeline.mpc import tally
from pipeline.mpc.engines.base import AggregateOutput, AggregateTask, Components, Engine, RangeOutput, RangeTask
from pipeline.mpc.engines.mp_spdz.engine import NODES, MpSpdz
from pipeline.mpc.engines.spu.engine import Spu
from pipeline.site.settings import Settings
from tests.support.parties import deal, make_parties, outcomes_of
from tests.unit.mpc.test_tally import LAYOUT, NAMES, TESTED, vector


@pytest.mark.mp_spdz
@pytest.mark.parametrize("protocol", NODES)
def test_mp_spdz_tells_what_the_counts_are(protocol: str, tmp_path: Path) -> None:
    _tells_what_the_counts_are(MpSpdz(Settings.load()), protocol, NODES[protocol], tmp_path)


@pytest.mark.spu
def test_spu_tells_what_the_counts_are(tmp_path: Path) -> None:
    _tells_what_the_counts_are(Spu(), "aby3", 3, tmp_path)


def _tells_what_the_counts_are(engine: Engine, protocol: str, nodes: int, folder: Path) -> None:
    vectors = {name: vector(seed) for seed, name in enumerate(NAMES)}
    *honest, liar = NAMES
    vectors[liar][0] += 1
    dealt = deal(vectors, nodes)

    def each(task: RangeTask | AggregateTask, of_node: Callable[[Components], Components], stage: str) -> object:
        (folder / stage).mkdir()
        parties = make_parties(nodes, folder / stage)
        outcomes = outcomes_of(engine, protocol, task, {}, parties, [of_node(held) for held in dealt])
        answers = []
        for outcome in outcomes:
            assert isinstance(outcome, RangeOutput | AggregateOutput), outcome
            answers.append(outcome.within if isinstance(outcome, RangeOutput) else tuple(outcome.total.tolist()))
        assert len(set(answers)) == 1
        return answers[0]

    tested = dict.fromkeys(NAMES, TESTED)
    within = each(tally.bounds_task(NAMES, LAYOUT), lambda held: tally.bounds(held, LAYOUT, tested), "bounds")
    assert within == (True, True, True, False)

    total = np.sum([vectors[name] for name in honest], axis=0)
    patients, records = LAYOUT.sizes(total)
    rest = np.concatenate([patients - LAYOUT.sizes(vectors[name])[0] for name in honest], axis=1)
    floor = int(np.sort(rest.min(axis=1))[1])
    enough = (rest.min(axis=1) >= floor).tolist()
    found = each(tally.floor_task(honest, LAYOUT), lambda held: tally.floors(held, honest, LAYOUT, floor), "floor")
    assert found == (*enough, *(records == 0).tolist())

    shown = told(LAYOUT, enough, [False] * len(enough))
    assert 0 < sum(shown) < len(shown)
    opened = each(
        tally.opening_task(LAYOUT), lambda held: tally.opening(tally.summed(held, honest), LAYOUT, shown), "sum"
    )
    assert opened == tuple(LAYOUT.only(total, shown).tolist())


def test_names_of_vectors_are_none_of_a_hospital() -> None:
    named = [*tally.floor_task(NAMES, LAYOUT).hospitals, *tally.opening_task(LAYOUT).hospitals]
    assert len(set(named)) == len(named)
    assert not [name for name in named if re.fullmatch(NAME_PATTERN, name)]
