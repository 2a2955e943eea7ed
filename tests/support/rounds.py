"""Plays a round as Airflow's tasks would, step by step, every node at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed

from pipeline.domain import HospitalName, NodeName, RoundId
from pipeline.errors import Unavailable, WardroundError
from pipeline.round import provider, steps
from pipeline.round_steps import ROUND
from pipeline.site.settings import Settings
from pipeline.study.study import Study

_RETRIES = 3
_RETRY_SECONDS = 1


class Play:
    """One study on one installation; `absences` holds what each hospital's step raised."""

    def __init__(self, study: str, settings: Settings) -> None:
        self.study = Study.load(settings.studies / f"{study}.yaml")
        self.settings = settings
        self.absences: dict[HospitalName, WardroundError] = {}

    def open(self, run_id: str = "run") -> RoundId:
        """Number, prepare and open a round."""
        round_id = self.number(run_id)
        self.prepare(round_id)
        self.provider("open_round", round_id)
        return round_id

    def number(self, run_id: str) -> RoundId:
        """The round's number."""
        return provider.number(self.study.name, run_id, self.settings)

    def prepare(self, round_id: RoundId) -> None:
        """A sealing key at every node."""
        self.nodes("prepare", round_id)

    def hospitals(self, round_id: RoundId, names: Iterable[HospitalName] | None = None) -> None:
        """Validate, train and share at each hospital; an error makes it absent."""
        for name in self.study.hospitals if names is None else names:
            try:
                for step in (step.name for step in ROUND if step.to_hand_in):
                    self.hospital(step, round_id, name)
            except WardroundError as error:
                self.absences[name] = error

    def commit(self, round_id: RoundId) -> None:
        """Commit who took part."""
        self.provider("commit", round_id)

    def verify(self, round_id: RoundId) -> None:
        """Verify at every node."""
        self.nodes("verify", round_id)

    def aggregate(self, round_id: RoundId) -> None:
        """Aggregate and vote at every node."""
        self.nodes("aggregate", round_id)

    def end(self, round_id: RoundId) -> None:
        """Finalise, confirm at every hospital, retire the keys, conclude a study whose course is run."""
        self.provider("finalise", round_id)
        for name in self.study.hospitals:
            self.hospital("confirm", round_id, name)
        self.nodes("retire", round_id)
        if self.study.course:
            self.nodes("conclude", round_id)

    def decide(self, round_id: RoundId) -> None:
        """All that follows once the hospitals have shared, but for the record."""
        self.commit(round_id)
        self.verify(round_id)
        self.aggregate(round_id)
        self.end(round_id)

    def committed(self, run_id: str = "run", names: Iterable[HospitalName] | None = None) -> RoundId:
        """A round to whose set these hospitals, or all, are committed, before its verification."""
        round_id = self.open(run_id)
        self.hospitals(round_id, names)
        self.commit(round_id)
        return round_id

    def round(self, run_id: str = "run") -> RoundId:
        """A whole round."""
        round_id = self.open(run_id)
        self.hospitals(round_id)
        self.decide(round_id)
        return round_id

    def provider(self, step: str, round_id: RoundId) -> None:
        """Take a step of the provider."""
        self._patiently(lambda: steps.take_provider(step, self.study.name, round_id, self.settings))

    def hospital(self, step: str, round_id: RoundId, name: HospitalName) -> None:
        """Take a step of a hospital."""
        self._patiently(lambda: steps.take_hospital(name, step, self.study.name, round_id, self.settings))

    def node(self, step: str, round_id: RoundId, name: NodeName) -> None:
        """Take a step of a node."""
        self._patiently(lambda: steps.take_node(name, step, self.study.name, round_id, self.settings))

    def nodes(self, step: str, round_id: RoundId, names: Iterable[NodeName] | None = None) -> None:
        """Take a step at every node, or at these, at the same time; raises the first error."""
        self.each(lambda name: self.node(step, round_id, name), names)

    def each(self, action: Callable[[NodeName], object], names: Iterable[NodeName] | None = None) -> None:
        """Do something for every node, or for these, at the same time; raises the first error.

        The first in time: what the other nodes say of it later, that a peer did not come, hides the cause.
        """
        chosen = tuple(self.study.nodes if names is None else names)
        with ThreadPoolExecutor(len(chosen)) as threads:
            for done in as_completed([threads.submit(action, name) for name in chosen]):
                done.result()

    def _patiently(self, step: Callable[[], None]) -> None:
        """As Airflow does: only an unavailable service or peer is worth a retry."""
        for _ in range(_RETRIES):
            try:
                return step()
            except Unavailable:
                time.sleep(_RETRY_SECONDS)
        return step()
