"""Local training: deterministic, balanced, and honest unless the hospital's own configuration says otherwise."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import Samples
from pipeline.domain import HospitalName, RoundId
from pipeline.errors import Misconfigured, UpdateRejected
from pipeline.model_file import Vector
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study
from pipeline.train.initial import initial_model
from pipeline.train.loop import seed
from pipeline.train.misbehaviour import BEHAVIOURS, HONEST, Behaviour, behaviour, configured
from pipeline.train.network import accuracy, module
from pipeline.train.stage import run
from pipeline.train.undefended import UndefendedMember, undefended

STUDIES = PROJECT / "studies"
ASTER = HospitalName("aster")
BIRCH = HospitalName("birch")


def study(name: str = "breast_cancer") -> Study:
    return Study.load(STUDIES / f"{name}.yaml")


def separable(count: int = 120, share: float = 0.5, seed: int = 0) -> Samples:
    """Two classes that a linear model tells apart."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) < share * count).astype(np.int64)
    inputs = rng.normal(0, 120, size=(count, 30)) + np.where(labels[:, None] == 1, 120, -120)
    return Samples(np.clip(inputs, -1024, 1024).astype(np.int16), labels)


def updated(
    loaded: Study, *, round_id: int = 1, hospital: HospitalName = ASTER, finished: int = 0, act: Behaviour = HONEST
) -> Vector:
    return run(
        loaded,
        initial_model(loaded),
        separable(),
        round_id=RoundId(round_id),
        finished=finished,
        hospital=hospital,
        budget=None,
        behaviour=act,
    )


@pytest.mark.parametrize("name", ["breast_cancer", "pneumonia"])
def test_the_first_model_depends_on_the_seed_and_on_no_global_random_state(name: str) -> None:
    import torch

    loaded = study(name)
    first = initial_model(loaded)
    np.random.seed(5)
    torch.manual_seed(5)
    assert initial_model(loaded).tolist() == first.tolist()
    assert initial_model(loaded.model_copy(update={"seed": loaded.seed + 1})).tolist() != first.tolist()


def test_the_first_models_weights_fill_their_bound_and_its_biases_are_zero() -> None:
    loaded = study("pneumonia")
    model = initial_model(loaded)
    for parameter in loaded.network.parameters:
        values = model[parameter.offset : parameter.offset + parameter.size]
        if parameter.name.endswith("bias"):
            assert not values.any()
        else:
            bound = 2**16 / np.sqrt(np.prod(parameter.shape[1:]))
            assert 0.9 * bound < np.abs(values).max() <= bound + 1


SCRIPT = """
import hashlib, sys
from pathlib import Path
sys.path.insert(0, "tests/unit/train")
from test_training import study, updated
print(hashlib.sha256(updated(study()).tobytes()).hexdigest())
"""


def test_two_processes_train_the_same_bytes() -> None:
    here = hashlib.sha256(updated(study()).tobytes()).hexdigest()
    there = subprocess.run([sys.executable, "-c", SCRIPT], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_training_neither_reads_nor_moves_global_random_state() -> None:
    import torch

    loaded = study()
    first = updated(loaded)
    torch.manual_seed(99)
    np.random.seed(99)
    before = torch.get_rng_state().tolist()
    assert updated(loaded).tolist() == first.tolist()
    assert torch.get_rng_state().tolist() == before


def test_every_round_hospital_and_learning_rate_gives_another_update() -> None:
    loaded = study()
    different = [
        updated(loaded),
        updated(loaded, round_id=2),
        updated(loaded, hospital=BIRCH),
        updated(loaded, finished=1),
    ]
    assert len({vector.tobytes() for vector in different}) == 4


def test_training_seeds_are_63_bits_and_differ_between_studies() -> None:
    seeds = {seed(study(name), RoundId(1), ASTER) for name in ("breast_cancer", "pneumonia")}
    assert len(seeds) == 2
    assert all(0 <= value < 2**63 for value in seeds)


def test_the_learning_rate_decays_with_finished_rounds() -> None:
    loaded = study()
    early = updated(loaded)
    late = updated(loaded, finished=50)
    assert int(late @ late) < int(early @ early) // 4


def test_batches_are_balanced_over_the_classes_whatever_their_shares() -> None:
    """A linear model without a signal answers by its biases.

    Balanced batches leave them alone, unbalanced ones do not.
    """
    loaded = study().model_copy(update={"model": ({"Linear": {"out_features": 2}},)})
    skewed = separable(200, share=0.95)
    blank = Samples(np.zeros_like(skewed.inputs), skewed.labels)
    update = run(loaded, initial_model(loaded), blank, round_id=RoundId(1), finished=0, hospital=ASTER, budget=None)
    assert np.abs(update[-2:]).max() <= 1


def test_training_makes_the_model_better_and_accuracy_counts_right() -> None:
    import torch

    loaded = study()
    model = initial_model(loaded)
    samples = separable()
    trained = model + updated(loaded)
    correct, tested = accuracy(trained, loaded.network, samples)
    assert tested == 120
    assert correct > accuracy(model, loaded.network, samples)[0]
    with torch.inference_mode():
        answers = module(loaded.network, trained)(torch.from_numpy(samples.inputs / 256).float()).argmax(1)
    assert correct == int((answers.numpy() == samples.labels).sum())


def test_an_honest_update_keeps_the_budget_and_backs_off() -> None:
    loaded = study()
    free = updated(loaded)
    budget = int(free @ free) // 10

    def fitted(verdicts: list[bool]) -> int:
        vector = run(
            loaded,
            initial_model(loaded),
            separable(),
            round_id=RoundId(1),
            finished=0,
            hospital=ASTER,
            budget=budget,
            verdicts=verdicts,
        )
        return int(vector @ vector)

    assert 0.98 * budget < fitted([]) <= budget
    assert fitted([False]) <= budget // 4


def test_a_model_of_another_study_is_refused() -> None:
    with pytest.raises(UpdateRejected, match="got 7 parameters, want 530"):
        run(
            study(),
            np.zeros(7, dtype=np.int64),
            separable(),
            round_id=RoundId(1),
            finished=0,
            hospital=ASTER,
            budget=None,
        )


def test_a_diverging_training_is_refused_at_the_hospital() -> None:
    loaded = study()
    settings = loaded.training.model_copy(update={"learning_rate": 1e30, "steps": 12})
    with pytest.raises(UpdateRejected, match=r"lower training\.learning_rate"):
        updated(loaded.model_copy(update={"training": settings}))


def test_a_label_flipping_hospital_turns_its_update_round_and_mislabels_what_it_contributes() -> None:
    loaded = study()
    flip = BEHAVIOURS["label_flip"]
    honest = updated(loaded)
    flipped = updated(loaded, act=flip)
    assert int(honest @ flipped) < 0
    samples = separable()
    assert (flip.labelled(samples, 2).labels == 1 - samples.labels).all()
    assert HONEST.labelled(samples, 2) is samples


@pytest.mark.parametrize(("name", "expected"), [("free_rider", 0), ("not_a_number", np.iinfo(np.int64).min)])
def test_a_tampering_hospital_sends_a_constant(name: str, expected: int) -> None:
    assert set(updated(study(), act=BEHAVIOURS[name]).tolist()) == {expected}


def test_a_sign_flipping_hospital_sends_five_times_the_reverse() -> None:
    loaded = study()
    assert updated(loaded, act=BEHAVIOURS["sign_flip"]).tolist() == (-5 * updated(loaded)).tolist()


def test_a_hospital_is_honest_unless_its_own_file_says_otherwise(tmp_path: Path) -> None:
    assert configured(tmp_path) is HONEST
    (tmp_path / "hospital.yaml").write_text("")
    assert configured(tmp_path) is HONEST
    (tmp_path / "hospital.yaml").write_text("misbehaviour: label_flip\n")
    assert configured(tmp_path) is BEHAVIOURS["label_flip"]


@pytest.mark.parametrize("content", ["misbehaviour: nice\n", "misbehaviour: [1\n", "- misbehaviour\n"])
def test_a_wrong_hospital_file_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "hospital.yaml").write_text(content)
    with pytest.raises(Misconfigured, match="want"):
        configured(tmp_path)


def test_an_unknown_misbehaviour_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(Misconfigured, match="got 'nice', want one of honest, label_flip"):
        behaviour("nice")


def test_plain_averaging_is_hurt_by_one_label_flipper_of_five() -> None:
    loaded = study()
    test = separable(100, seed=9)

    def final(last: Behaviour) -> int:
        members = {name: UndefendedMember(separable(seed=index), test) for index, name in enumerate(loaded.hospitals)}
        members[loaded.hospitals[-1]] = UndefendedMember(separable(seed=4), test, last)
        results = undefended(loaded, members, [RoundId(1), RoundId(2)])
        assert [tested for _, tested in results] == [500, 500]
        return results[-1][0]

    assert final(BEHAVIOURS["label_flip"]) < final(HONEST) - 50
