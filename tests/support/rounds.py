"""Plays a round as Airflow's tasks would, step by step, every node at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from pipeline.domain import HospitalName, RoundId
from pipeline.errors import WardroundError
from pipeline.roles import hospital, node, provider
from pipeline.settings import Settings
from pipeline.study import Study


class Play:
    """One study on one installation; `absences` holds what each hospital's step raised."""

    def __init__(self, study: str, settings: Settings) -> None:
        self.study = Study.load(settings.studies / f"{study}.yaml")
        self.settings = settings
        self.absences: dict[HospitalName, WardroundError] = {}

    def open(self, run_id: str) -> RoundId:
        """Number, prepare and open a round."""
        round_id = provider.number(self.study.name, run_id, self.settings)
        self.nodes(lambda name: node.prepare(self.study.name, round_id, name, self.settings))
        provider.open_round(self.study.name, round_id, self.settings)
        return round_id

    def hospitals(self, round_id: RoundId, names: Iterable[HospitalName] | None = None) -> None:
        """Validate, train and share at each hospital; an error makes it absent."""
        for name in self.study.hospitals if names is None else names:
            try:
                hospital.validate(self.study.name, round_id, name, self.settings)
                hospital.train(self.study.name, round_id, name, self.settings)
                hospital.share(self.study.name, round_id, name, self.settings)
            except WardroundError as error:
                self.absences[name] = error

    def commit(self, round_id: RoundId) -> None:
        """Commit who took part."""
        provider.commit(self.study.name, round_id, self.settings)

    def verify(self, round_id: RoundId) -> None:
        """Verify at every node."""
        self.nodes(lambda name: node.verify(self.study.name, round_id, name, self.settings))

    def aggregate(self, round_id: RoundId) -> None:
        """Aggregate and vote at every node."""
        self.nodes(lambda name: node.aggregate(self.study.name, round_id, name, self.settings))

    def end(self, round_id: RoundId) -> None:
        """Finalise, confirm at every hospital, retire the keys."""
        provider.finalise(self.study.name, round_id, self.settings)
        for name in self.study.hospitals:
            hospital.confirm(self.study.name, round_id, name, self.settings)
        self.nodes(lambda name: node.retire(self.study.name, round_id, name, self.settings))

    def round(self, run_id: str) -> RoundId:
        """A whole round."""
        round_id = self.open(run_id)
        self.hospitals(round_id)
        self.commit(round_id)
        self.verify(round_id)
        self.aggregate(round_id)
        self.end(round_id)
        return round_id

    def nodes(self, step: Callable[..., object]) -> None:
        """Take a step at every node at the same time; raises the first error."""
        with ThreadPoolExecutor(len(self.study.nodes)) as threads:
            list(threads.map(step, self.study.nodes))
