"""Every attack does what its paper says, and those that harm undefended averaging do."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.poisoning.attacks import ATTACKS, NONE, badnets, named
from benchmarks.poisoning.attacks.neurotoxin import AVOIDED
from benchmarks.poisoning.defences.multi_krum import scores
from benchmarks.poisoning.kinds import Poison, Update, Updates, View
from benchmarks.poisoning.simulate import Case, Run, Simulation
from benchmarks.poisoning.triggers import SIDE, stamped

pytestmark = pytest.mark.usefixtures("published_heart")


def undefended(attack: str) -> Run:
    return Simulation(Case("heart_disease", 4, 1, 0.0, 0, attack, "fedavg", 0, 8)).run()


@pytest.fixture(scope="module")
def clean() -> Run:
    return undefended(NONE)


@pytest.mark.parametrize(
    ("attack", "points"), [("label_flip", 5), ("targeted_flip", 5), ("sign_flip", 30), ("ipm_100", 30)]
)
def test_an_attack_on_accuracy_costs_undefended_averaging_points(attack: str, points: int, clean: Run) -> None:
    assert undefended(attack).accuracy <= clean.accuracy - points / 100


@pytest.mark.parametrize(
    "attack", [name for name, attack in ATTACKS.items() if attack.harm == "backdoor" and not attack.adaptive]
)
def test_a_backdoor_opens_in_undefended_averaging_and_clean_accuracy_stays(attack: str, clean: Run) -> None:
    run = undefended(attack)
    assert run.asr >= run.natural_miss + 0.4
    assert run.accuracy >= clean.accuracy - 0.06


def view(seed: int = 0, attackers: int = 3) -> View:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=200)
    trained: list[dict[str, object]] = []

    def train(
        poison: Poison | None,
        effort: int = 1,
        *,
        radius: float | None = None,
        allowed: np.ndarray | None = None,
        start: Update | None = None,
    ) -> Updates:
        trained.append({"poison": poison, "effort": effort})
        return np.where(np.ones(200, bool) if allowed is None else allowed, 1.0, 0.0)[None].repeat(attackers, axis=0)

    return View(
        honest=common + rng.normal(size=(7, 200)),
        trained=common + rng.normal(size=(attackers, 200)),
        hospitals=7 + attackers,
        previous=rng.normal(size=200),
        radius=10.0,
        rng=rng,
        train=train,
        accepted=lambda updates: bool(np.linalg.norm(updates[0] - common) < 20),
    )


def crafted(name: str, seen: View) -> Updates:
    craft = ATTACKS[name].craft
    assert craft is not None
    return craft(seen)


def test_sign_flip_reverses_five_times_the_attackers_own_update() -> None:
    seen = view()
    assert np.allclose(crafted("sign_flip", seen), -5 * seen.trained)


@pytest.mark.parametrize(("name", "factor"), [("ipm_0.5", -0.5), ("ipm_100", -100)])
def test_inner_product_manipulation_is_a_negative_multiple_of_the_honest_mean(name: str, factor: float) -> None:
    seen = view()
    assert np.allclose(crafted(name, seen), factor * seen.honest.mean(axis=0))


def test_alie_lies_one_and_a_half_deviations_from_the_honest_mean_on_one_side() -> None:
    seen = view()
    assert np.allclose((crafted("alie", seen)[0] - seen.honest.mean(axis=0)) / seen.honest.std(axis=0, ddof=1), -1.5)


def test_min_max_and_min_sum_are_as_far_out_as_their_limits_allow() -> None:
    seen = view()
    apart = ((seen.honest[:, None] - seen.honest[None]) ** 2).sum(axis=2)
    largest = ((seen.honest - crafted("min_max", seen)[0]) ** 2).sum(axis=1)
    assert largest.max() == pytest.approx(apart.max(), rel=1e-4)
    assert ((seen.honest - crafted("min_sum", seen)[0]) ** 2).sum() == pytest.approx(apart.sum(axis=1).max(), rel=1e-4)


def test_fangs_step_is_chosen_by_krum_and_points_against_the_honest() -> None:
    seen = view()
    update = crafted("fang_krum", seen)
    assert np.argmin(scores(np.concatenate([seen.honest, update]), 3)) >= len(seen.honest)
    assert update[0] @ seen.honest.mean(axis=0) < 0


def test_fangs_trim_lies_outside_the_honest_range_against_the_mean() -> None:
    seen = view()
    update = crafted("fang_trim", seen)
    mean = seen.honest.mean(axis=0)
    assert np.all(np.where(mean > 0, update <= seen.honest.min(axis=0), update >= seen.honest.max(axis=0)))


def test_model_replacement_scales_by_hospitals_over_attackers() -> None:
    seen = view()
    assert np.allclose(crafted("model_replacement", seen), seen.trained * 10 / 3)
    assert np.allclose(crafted("dba", seen), seen.trained * 10 / 3)


def test_neurotoxin_leaves_the_coordinates_alone_that_moved_most() -> None:
    seen = view()
    update = crafted("neurotoxin", seen)[0]
    most = np.argsort(np.abs(seen.previous))[-int(AVOIDED * 200) :]
    assert not update[most].any()
    assert np.count_nonzero(update) == 200 - len(most)


def test_mimic_copies_one_honest_update_and_a_free_rider_sends_nothing() -> None:
    seen = view()
    assert any(np.array_equal(crafted("mimic", seen)[1], honest) for honest in seen.honest)
    assert not crafted("free_rider", seen).any()
    assert crafted("gaussian", seen).std() == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.adaptive])
def test_an_adaptive_attacker_sends_what_the_rule_takes_within_the_budget(name: str) -> None:
    seen = view()
    update = crafted(name, seen)
    assert seen.accepted(update)
    assert np.all(np.linalg.norm(update, axis=1) <= seen.radius * 1.001 + 1e-9) or name.startswith("gradient")


def test_a_trigger_marks_its_square_and_its_quarters_make_it_up() -> None:
    import torch

    images = torch.zeros(2, 1, 28, 28)
    whole = stamped(images)
    assert int((whole != 0).sum()) == 2 * SIDE**2
    assert torch.equal(sum(stamped(images, part) for part in range(4)), whole)  # type: ignore[arg-type]
    rows = torch.zeros(3, 18)
    assert torch.equal(sum(stamped(rows, part) for part in range(3)), stamped(rows))  # type: ignore[arg-type]


def test_badnets_touches_about_half_of_the_source_class_alone() -> None:
    import torch

    inputs = torch.zeros(400, 1, 28, 28)
    labels = torch.tensor([0, 1] * 200)
    marked, relabelled = badnets.poison(inputs, labels, 0, np.random.default_rng(0), stamped)
    changed = marked.flatten(1).any(dim=1)
    assert not changed[labels == 0].any()
    assert 60 < int(changed.sum()) < 140
    assert torch.equal(relabelled, torch.where(changed, torch.zeros_like(labels), labels))


def test_fit_is_a_suffix_of_a_known_attack() -> None:
    assert named("sign_flip+fit") == (ATTACKS["sign_flip"], True)
    with pytest.raises(KeyError):
        named("unheard_of")
