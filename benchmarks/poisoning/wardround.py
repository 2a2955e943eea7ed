"""Wardround's own rule over the rounds of a study: the product's integer reference, budget, back-off and quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.poisoning.kinds import Update, Updates
from benchmarks.poisoning.own_rules import Judged, OwnRule
from pipeline.datasets import Samples
from pipeline.domain import UPDATE_BITS, HospitalName, RoundId, Sha256, Verdict
from pipeline.layers import Network
from pipeline.model_file import Vector
from pipeline.mpc import rule
from pipeline.mpc.engines.base import AggregateTask, RuleParameters, VerifyTask
from pipeline.round.strikes import quarantined, updated
from pipeline.study.fields import Rule
from pipeline.train.update import backoff, fit

ONE = 1 << UPDATE_BITS
_BEYOND = float(1 << 40)


def integers(updates: Updates) -> Vector:
    """16 fractional bits; what does not fit a hospital's 64-bit word stays far outside the cap, as its cast would."""
    return np.rint(np.clip(np.nan_to_num(updates, nan=_BEYOND) * ONE, -_BEYOND, _BEYOND)).astype(np.int64)


@dataclass
class Consortium:
    """What the ledger remembers of one study."""

    names: tuple[HospitalName, ...]
    network: Network
    input_range: tuple[int, int]
    rule: Rule
    model: Vector
    own: OwnRule
    """How it judges and averages."""
    finished: int = 0
    budget: int | None = None
    verdicts: dict[HospitalName, list[bool]] = field(default_factory=dict)
    strikes: Mapping[HospitalName, tuple[RoundId, ...]] = field(default_factory=dict)
    out: tuple[HospitalName, ...] = ()
    rounds: list[RoundId] = field(default_factory=list)

    @property
    def active(self) -> tuple[HospitalName, ...]:
        """Hospitals that are not quarantined."""
        return tuple(name for name in self.names if name not in self.out)

    @property
    def floor(self) -> int:
        """Fewest accepted updates with which a round ends in a model, as `Study.accepted_floor`."""
        return max(3, len(self.names) // 2 + 1)

    def submitted(self, name: HospitalName, update: Update) -> Update:
        """An honest hospital's update as it hands it in: within the budget, damped after its rejections."""
        whole = fit(integers(update), self.budget, backoff(self.verdicts.get(name, [])))
        return whole / ONE

    def task(self, seed: Sha256) -> VerifyTask:
        """The round's verification, with the seed of its projections where the rule has any."""
        early = self.finished < self.rule.early_rounds
        parameters = RuleParameters(
            samples=self.rule.images_per_hospital,
            input_range=self.input_range,
            below_global_percent=self.rule.below_global_early_percent if early else self.rule.below_global_percent,
            below_peers_percent=self.rule.below_peers_early_percent if early else self.rule.below_peers_percent,
            budget=self.budget,
            weakest_class_below_global_percent=(
                self.rule.weakest_class_below_global_early_percent
                if early
                else self.rule.weakest_class_below_global_percent
            ),
            weakest_class_below_peers_percent=(
                self.rule.weakest_class_below_peers_early_percent
                if early
                else self.rule.weakest_class_below_peers_percent
            ),
        )
        return self.own.task(VerifyTask(self.active, self.network, parameters, self.model), seed)

    def payloads(
        self, updates: Mapping[HospitalName, Update], samples: Mapping[HospitalName, Samples]
    ) -> dict[HospitalName, Vector]:
        """What each active hospital shares of these."""
        classes = np.eye(self.network.classes, dtype=np.int64)
        return {
            name: np.concatenate(
                [
                    integers(updates[name]),
                    samples[name].inputs.reshape(-1).astype(np.int64),
                    classes[samples[name].labels].reshape(-1),
                ]
            )
            for name in self.active
        }

    def explained(self, task: VerifyTask, payloads: Mapping[HospitalName, Vector]) -> Judged:
        """The reference's verification; changes nothing."""
        return self.own.judged(task, payloads)

    def close(self, updates: Mapping[HospitalName, Update], verification: Judged, round_id: int) -> Update:
        """Record the round and make the new model; what was added to it: zeros when too few were accepted."""
        active = self.active
        bits = dict(zip(active, verification.accepted, strict=True))
        accepted = tuple(name for name in active if bits[name])
        if len(accepted) < self.floor:
            return np.zeros(len(self.model))
        number = RoundId(round_id)
        verdicts = {name: Verdict.ACCEPTED if bit else Verdict.REJECTED for name, bit in bits.items()}
        self.strikes = updated(self.strikes, verdicts, number, self.rounds, self.rule.strike_window)
        self.out = quarantined(self.strikes, self.out, self.rule.strikes)
        self.rounds.append(number)
        for name, bit in bits.items():
            self.verdicts.setdefault(name, []).append(bit)
        kept = {name: integers(updates[name]) for name in accepted}
        total, count = self.own.mean(AggregateTask(accepted, self.network.size), kept)
        before = self.model
        self.model = rule.new_model(self.model, total, count)
        self.budget = verification.budget
        self.finished = self.finished + 1
        return np.asarray((self.model - before) / ONE, dtype=np.float64)


def accepted_by(
    verification: Judged, active: Sequence[HospitalName], names: Sequence[HospitalName]
) -> npt.NDArray[np.bool_]:
    """Accept bits of `names`; who is quarantined is not accepted."""
    bits = dict(zip(active, verification.accepted, strict=True))
    return np.array([bits.get(name, False) for name in names])
