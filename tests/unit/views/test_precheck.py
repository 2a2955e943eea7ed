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
from pipeline.views.precheck import Precheck, PrecheckFinding, findings

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


def _found(study: Study, member: PlainMember, update: Vector, budget: int | None) -> list[PrecheckFinding]:
    shared = share(study, member, update, RoundId(1), ASTER)
    return list(findings(study, initial_model(study), rule_parameters(study, 1, budget), shared))


def asked(member: PlainMember, update: Vector, budget: int | None) -> dict[str, bool | None]:
    found = _found(STUDY, member, update, budget)
    assert Precheck(RoundId(1), tuple(found)).passed == (False not in [finding.passed for finding in found])
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


def test_a_large_model_is_checked_as_any_and_told_that_its_size_is_estimated_in_the_round(
    member: PlainMember, trained: Vector
) -> None:
    large = STUDY.model_copy(update={"mode": "large"})
    norm = int(trained @ trained)
    asked_of = {study.mode: _found(study, member, trained, norm) for study in (STUDY, large)}
    estimated = asked_of["large"].pop(1)
    assert asked_of["full"].pop(0).test == "range"
    assert asked_of["large"] == asked_of["full"]
    assert (estimated.test, estimated.passed) == ("size", None)
    assert "projections" in estimated.sentence


@pytest.mark.parametrize(
    ("weight", "passed", "further"),
    [
        (COORDINATE_CAP, None, ["accuracy", "weakest class"]),
        (1 << 20, None, ["accuracy", "weakest class"]),
        (1 << 21, False, []),
        (1 << 40, False, []),
    ],
)
def test_of_a_large_model_a_single_weight_is_judged_by_the_size_that_it_makes(
    member: PlainMember, trained: Vector, weight: int, passed: bool | None, further: list[str]
) -> None:
    update = np.zeros_like(trained)
    update[7] = -weight
    found = _found(STUDY.model_copy(update={"mode": "large"}), member, update, None)
    size, estimated, *others = found
    assert (size.test, size.passed, estimated.test) == ("size", passed, "size")
    assert [finding.test for finding in others] == [*further, "direction", "peers"]
