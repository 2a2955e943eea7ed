"""What the rule says of one update as far as its own hospital can know."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.domain import COORDINATE_CAP, HospitalName, RoundId
from pipeline.host.secret import Secret
from pipeline.model_file import Vector
from pipeline.replay.plain_rounds import PlainMember, share
from pipeline.round.parameters import rule_parameters
from pipeline.setup.partition import deal
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study
from pipeline.train.initial import initial_model
from pipeline.train.stage import run
from pipeline.views.precheck import Precheck, findings

STUDY = Study.load(PROJECT / "studies" / "breast_cancer.yaml")
ASTER = HospitalName("aster")


@pytest.fixture(scope="module")
def member() -> PlainMember:
    train, _ = deal(STUDY, *STUDY.source.load([]))[ASTER]
    return PlainMember.of(STUDY.source.samples(train), Secret(bytes(32)))


@pytest.fixture(scope="module")
def trained(member: PlainMember) -> Vector:
    return run(
        STUDY, initial_model(STUDY), member.training, round_id=RoundId(1), finished=0, hospital=ASTER, budget=None
    )


def asked(member: PlainMember, update: Vector, budget: int | None) -> dict[str, bool | None]:
    shared = share(STUDY, member, update, RoundId(1), ASTER)
    found = findings(STUDY, initial_model(STUDY), rule_parameters(STUDY, 1, budget), shared)
    assert Precheck(RoundId(1), found).passed == (False not in [finding.passed for finding in found])
    return {finding.test: finding.passed for finding in found}


def test_an_honest_update_within_the_budget_has_nothing_against_it(member: PlainMember, trained: Vector) -> None:
    assert asked(member, trained, int(trained @ trained)) == {
        "range": True,
        "size": True,
        "accuracy": True,
        "weakest class": True,
        "direction": None,
        "peers": None,
    }
    assert asked(member, trained, None)["size"] is None


def test_one_unit_beyond_the_budget_is_too_large_and_a_vanishing_one_may_be_too_small(
    member: PlainMember, trained: Vector
) -> None:
    norm = int(trained @ trained)
    assert asked(member, trained, norm - 1)["size"] is False
    assert asked(member, trained, 401 * norm)["size"] is None
    assert asked(member, np.zeros_like(trained), norm)["size"] is False


def test_a_coordinate_at_the_cap_ends_the_check(member: PlainMember, trained: Vector) -> None:
    update = trained.copy()
    update[7] = -COORDINATE_CAP
    assert asked(member, update, None) == {"range": False, "direction": None, "peers": None}


def test_a_large_model_is_checked_for_its_size_alone(trained: Vector) -> None:
    large = STUDY.model_copy(update={"mode": "large"})
    found = findings(large, initial_model(STUDY), rule_parameters(large, 1, int(trained @ trained)), trained)
    assert [(finding.test, finding.passed) for finding in found] == [
        ("range", True),
        ("size", True),
        ("size", None),
        ("direction", None),
    ]
