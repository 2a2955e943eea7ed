"""One simulated study: hospitals train, attackers write their updates, the defence decides, round by round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from benchmarks.poisoning.attacks import NONE, named
from benchmarks.poisoning.attacks.targeted_flip import SOURCE, TARGET
from benchmarks.poisoning.data import HEAD, Hospital, World, world
from benchmarks.poisoning.defences import DEFENCES
from benchmarks.poisoning.exact import counts as exact_counts
from benchmarks.poisoning.features import STUDY
from benchmarks.poisoning.kinds import Attack, Outcome, Poison, Seen, Update, Updates, View
from benchmarks.poisoning.own_rules import OWN_RULES, WARDROUND, Judged
from benchmarks.poisoning.search import clipped
from benchmarks.poisoning.training import Trainee, Trainer, answers
from benchmarks.poisoning.wardround import ONE, Consortium, accepted_by, integers
from pipeline.datasets import Samples
from pipeline.domain import HospitalName, Sha256
from pipeline.evidence.canonical import sha256
from pipeline.model_file import Vector
from pipeline.mpc import rule
from pipeline.mpc.engines.base import RuleParameters, VerifyTask
from pipeline.site.settings import PROJECT
from pipeline.study.fields import Rule, Training
from pipeline.study.study import Study
from pipeline.train.initial import initial_model

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Observed:
    """A round that Wardround's own rule has decided."""

    number: int
    task: VerifyTask
    payloads: Mapping[HospitalName, Vector]
    """What each active hospital would have shared."""
    verification: Judged


Watcher = Callable[[Observed], None]


@dataclass(frozen=True)
class Case:
    """Everything that decides one run."""

    dataset: str
    hospitals: int
    attackers: int
    alpha: float
    floor: int
    attack: str
    defence: str
    seed: int
    rounds: int = 12
    first_attack: int = 0
    """Rounds before which the attackers are honest."""


@dataclass(frozen=True)
class Run:
    """What came of it; shares in 0..1."""

    accuracy: float
    asr: float
    """Source-class test records with the trigger that are called the target class."""
    natural_miss: float
    """The same without the trigger."""
    rejected: float | None
    """Attackers' updates kept out."""
    false_rejects: float | None
    """Honest updates rejected."""
    attackers_quarantined: float | None
    honest_quarantined: float | None
    aborted: int
    """Rounds without a new model, for too few were accepted."""
    history: tuple[float, ...]
    """Test accuracy after each round."""


TRAINING = {
    "pneumonia": Training(steps=12),
    "breast_cancer": Training(steps=12),
    "heart_disease": Training(steps=15, batch_size=16),
    HEAD: Study.load(STUDY).training,
}


TEN_HOSPITALS = Rule(
    below_global_percent=10,
    below_peers_percent=10,
    weakest_class_below_global_percent=20,
    weakest_class_below_peers_percent=19,
)
"""Later thresholds as fine as ten hospitals' 64 answers allow. The defaults suit five, whose answers are 32."""

THRESHOLDS = {"heart_disease": Study.load(PROJECT / "studies" / "heart_disease.yaml").rule}
"""A study's own where its hospitals differ more."""


class Simulation:
    """The state of one run."""

    def __init__(self, case: Case, thresholds: Rule | None = None, watch: Watcher | None = None) -> None:
        import torch

        torch.set_num_threads(1)  # the tensors are small: threads would wait for one another
        self.case = case
        self.watch = watch
        self.world: World = world(case.dataset, case.hospitals, case.alpha, case.floor, case.seed)
        self.members = self.world.hospitals
        self.names = tuple(hospital.name for hospital in self.members)
        self.attack: Attack | None = None
        self.fitted = False
        if case.attack != NONE:
            self.attack, self.fitted = named(case.attack)
        order = np.random.default_rng([case.seed, 5]).permutation(len(self.members))
        self.bad = sorted(int(index) for index in order[: case.attackers if self.attack else 0])
        self.good = [index for index in range(len(self.members)) if index not in self.bad]
        self.trainees = _trainees(self.world)
        self.trainer = Trainer(self.world.network, TRAINING[case.dataset], self.world.stamp)
        self.rule = thresholds or THRESHOLDS.get(case.dataset, TEN_HOSPITALS)
        start = initial_model(cast(Study, SimpleNamespace(network=self.world.network, seed=case.seed)))
        self.model: Update = start / ONE
        self.own_rule = case.defence in OWN_RULES
        self.consortium = Consortium(
            self.names,
            self.world.network,
            self.world.input_range,
            self.rule,
            start,
            OWN_RULES[case.defence if self.own_rule else WARDROUND],
        )
        self.previous: Update = np.zeros(self.world.network.size)
        self.aborted = 0

    def run(self) -> Run:
        """All rounds, then the test."""
        rejected: list[bool] = []
        false: list[bool] = []
        history = []
        for number in range(self.case.rounds):
            updates, attacking = self._updates(number)
            kept = self._decide(number, updates)
            if kept is not None:
                rejected += [not kept[index] for index in attacking]
                false += [
                    not kept[index]
                    for index in self.good
                    if not self.own_rule or self.names[index] not in self._out_before
                ]
            history.append(_accuracy(self.world, self.model.tobytes()))
        test = _test(self.world)
        source = test[self.world.test.labels == SOURCE]
        hit = float((answers(self.world.network, self.model, self.world.stamp(source)) == TARGET).mean())
        miss = float((answers(self.world.network, self.model, source) == TARGET).mean())
        out = set(self.consortium.out)

        def share(indices: list[int]) -> float | None:
            return (
                float(np.mean([self.names[index] in out for index in indices])) if self.own_rule and indices else None
            )

        return Run(
            accuracy=history[-1],
            asr=hit,
            natural_miss=miss,
            rejected=float(np.mean(rejected)) if rejected else None,
            false_rejects=float(np.mean(false)) if false else None,
            attackers_quarantined=share(self.bad),
            honest_quarantined=share(self.good),
            aborted=self.aborted,
            history=tuple(history),
        )

    def _updates(self, number: int) -> tuple[Updates, list[int]]:
        """Every hospital's update, and who attacked."""
        finished = self.consortium.finished if self.own_rule else number
        attack = self.attack if number >= self.case.first_attack else None
        bad = self.bad if attack else []
        active = [index for index, name in enumerate(self.names) if not (self.own_rule and name in self.consortium.out)]
        honest = [index for index in active if index not in bad]
        updates = np.zeros((len(self.members), self.world.network.size))
        updates[honest] = self._trained(honest, number, finished)
        if self.own_rule:
            for index in honest:
                updates[index] = self.consortium.submitted(self.names[index], updates[index])
        attacking = [index for index in active if index in bad]
        if attack is not None and attacking:
            updates[attacking] = self._attackers(attack, attacking, updates, number, finished)
        return updates, bad

    def _trained(self, indices: list[int], number: int, finished: int) -> Updates:
        """What these hospitals' own records make of the model."""
        return _honest(self.trainer, self.world, self.case.seed, number, finished, tuple(indices), self.model.tobytes())

    def _attackers(self, attack: Attack, active: list[int], updates: Updates, number: int, finished: int) -> Updates:
        honest = updates[
            [index for index in self.good if self.names[index] not in self.consortium.out or not self.own_rule]
        ]
        trainees = [self.trainees[index] for index in active]
        rngs = [np.random.default_rng([self.case.seed, number, 2, index]) for index in active]
        rng = np.random.default_rng([self.case.seed, number, 2])

        def train(poison: Poison | None, effort: int = 1, **limits: Any) -> Updates:
            return self.trainer(trainees, self.model, finished, rngs, poison=poison, effort=effort, **limits)

        radius = self._radius(honest)
        sent = updates[active]
        if attack.poison is not None:
            sent = train(attack.poison, attack.effort)
        elif attack.alters_own:
            sent = self._trained(active, number, finished)
        if attack.craft is not None:
            view = View(
                honest=honest,
                trained=sent,
                hospitals=len(self.members),
                previous=self.previous,
                radius=radius,
                rng=rng,
                train=train,
                accepted=self._oracle(active, updates, number, rng),
            )
            sent = attack.craft(view)
        return clipped(sent, radius) if self.fitted else sent

    def _radius(self, honest: Updates) -> float:
        own = self.consortium.own
        if self.own_rule and self.consortium.budget is not None:
            return 0.999 * own.sure * float(np.sqrt(own.largest(self.consortium.budget))) / ONE
        norms = np.sort(np.linalg.norm(honest, axis=1))
        if not self.own_rule:
            return 1.5 * float(
                norms[rule.lower_median(len(norms))]
            )  # what this study's budget would be: 9/4 of the squared median
        # the first round's budget is 9 times the median, which the attackers' own sizes shift: they expect the worst
        return 0.95 * 3 * own.sure * float(norms[max(0, rule.lower_median(len(self.members)) - len(self.bad))])

    def _oracle(
        self, active: list[int], updates: Updates, number: int, rng: np.random.Generator
    ) -> Callable[[Updates], bool]:
        """Whether the defence would take these updates of the attackers.

        Their clean records stand for everybody's secret samples.
        """
        count = self.rule.images_per_hospital
        proxies = self._proxies(active, count, rng)

        def accepted(tried: Updates) -> bool:
            candidate = updates.copy()
            candidate[active] = tried
            if not self.own_rule:
                kept = self._baseline(candidate, number, dict(zip(self.names, proxies, strict=True))).kept
                return kept is None or bool(kept[active].all())
            by_name = {name: candidate[index] for index, name in enumerate(self.names)}
            payloads = self.consortium.payloads(by_name, dict(zip(self.names, proxies, strict=True)))
            # the round's own seed is drawn when the updates are fixed: they try another one
            verification = self.consortium.explained(self.consortium.task(self._seed(number, 2)), payloads)
            return bool(
                accepted_by(verification, self.consortium.active, [self.names[index] for index in active]).all()
            )

        return accepted

    def _proxies(self, active: list[int], count: int, rng: np.random.Generator) -> list[Samples]:
        inputs = np.concatenate([self.members[index].training.inputs for index in active])
        labels = np.concatenate([self.members[index].training.labels for index in active])
        classes = np.unique(labels)
        proxies = []
        for _ in self.members:
            rows = np.concatenate(
                [rng.choice(np.flatnonzero(labels == label), count // len(classes)) for label in classes]
            )
            rows = np.concatenate([rows, rng.choice(len(labels), count - len(rows))])
            proxies.append(Samples(inputs[rows], labels[rows]))
        return proxies

    def _decide(self, number: int, updates: Updates) -> npt.NDArray[np.bool_] | None:
        self._out_before = self.consortium.out
        if not self.own_rule:
            outcome = self._baseline(
                updates, number, {m.name: m.drawn(self.rule.images_per_hospital, number + 1) for m in self.members}
            )
            self.previous = outcome.update if np.isfinite(outcome.update).all() else np.zeros_like(self.model)
            self.model = np.clip(self.model + self.previous, -4.0, 4.0)
            return outcome.kept
        by_name = dict(zip(self.names, updates, strict=True))
        samples = {m.name: self._contributed(index, m, number) for index, m in enumerate(self.members)}
        active = self.consortium.active
        task = self.consortium.task(self._seed(number))
        payloads = self.consortium.payloads(by_name, samples)
        verification = self.consortium.explained(task, payloads)
        before = self.consortium.finished
        self.previous = self.consortium.close(by_name, verification, number + 1)
        self.aborted += self.consortium.finished == before
        self.model = self.consortium.model / ONE
        if self.watch is not None:
            self.watch(Observed(number, task, payloads, verification))
        return accepted_by(verification, active, self.names)

    def _seed(self, *drawn: int) -> Sha256:
        """One that nobody knew before."""
        return sha256(repr((self.case.seed, *drawn)).encode())

    def _contributed(self, index: int, hospital: Hospital, number: int) -> Samples:
        drawn = hospital.drawn(self.rule.images_per_hospital, number + 1)
        # attackers spoil the judges too
        return (
            Samples(drawn.inputs, 1 - drawn.labels) if index in self.bad and number >= self.case.first_attack else drawn
        )

    def _baseline(self, updates: Updates, number: int, samples: dict[Any, Samples]) -> Outcome:
        rng = np.random.default_rng([self.case.seed, number, 3])
        seen = Seen(
            updates=np.nan_to_num(updates, nan=0.0, posinf=1e6, neginf=-1e6),
            assumed=max(1, self.case.attackers),
            previous=self.previous,
            rng=rng,
            root=partial(self._root, number),
            recall=partial(self._recall, samples),
            samples=self.rule.images_per_hospital,
        )
        return DEFENCES[self.case.defence](seen)

    def _root(self, number: int) -> Update:
        """Fifty clean records of each class from everybody's pools: more than a server would have."""
        rng = np.random.default_rng([self.case.seed, 4])
        inputs = np.concatenate([member.pool.inputs for member in self.members])
        labels = np.concatenate([member.pool.labels for member in self.members])
        rows = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:50] for label in np.unique(labels)])
        trainee = Trainee(Samples(inputs[rows], labels[rows]))
        return np.asarray(self.trainer([trainee], self.model, number, [rng])[0])

    def _recall(self, samples: dict[Any, Samples], updates: Updates) -> npt.NDArray[np.int64]:
        network = self.world.network
        models = integers(np.clip(self.model + np.concatenate([np.zeros_like(updates[:1]), updates]), -7.0, 7.0))
        parameters = RuleParameters(self.rule.images_per_hospital, self.world.input_range, 100, 100, None)
        task = VerifyTask(self.names, network, parameters, models[0])
        inputs = np.stack([samples[name].inputs.astype(np.int64) for name in self.names])
        labels = np.eye(network.classes, dtype=np.int64)[np.stack([samples[name].labels for name in self.names])]
        return np.asarray(exact_counts(task, models, inputs, labels).sum(axis=2))


@lru_cache(maxsize=4)
def _trainees(world: World) -> tuple[Trainee, ...]:
    return tuple(Trainee(hospital.training) for hospital in world.hospitals)


@lru_cache(maxsize=256)
def _honest(
    trainer: Trainer, world: World, seed: int, number: int, finished: int, indices: tuple[int, ...], model: bytes
) -> Updates:
    """Updates by honest training, which nothing else decides: runs that come to the same model share them."""
    trainees = [_trainees(world)[index] for index in indices]
    rngs = [np.random.default_rng([seed, number, 1, index]) for index in indices]
    updates = trainer(trainees, np.frombuffer(model), finished, rngs)
    updates.flags.writeable = False
    return updates


@lru_cache(maxsize=4)
def _test(world: World) -> torch.Tensor:
    import torch

    return torch.from_numpy(world.test.inputs.astype(np.float32) / 256)


@lru_cache(maxsize=1024)
def _accuracy(world: World, model: bytes) -> float:
    return float((answers(world.network, np.frombuffer(model), _test(world)) == world.test.labels).mean())


def run(case: Case) -> dict[str, Any]:
    """One run as a JSON value."""
    return asdict(case) | asdict(Simulation(case).run())
