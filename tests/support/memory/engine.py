"""An engine whose parties meet in this process and compute the rule in plain: the oracle of every engine's tests.

Like a real engine it needs every node at the same time, and ends at the deadline of who waits. Unlike one it hides
nothing, so that it stands in tests alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np

from pipeline.domain import EngineStats, HospitalName, Sha256
from pipeline.errors import EngineFailed, PeerGaveUp
from pipeline.evidence.canonical import sha256
from pipeline.mpc import reference, reference_projected, rule
from pipeline.mpc.engines.base import (
    AggregateOutput,
    AggregateTask,
    Components,
    Engine,
    Party,
    ProjectedTask,
    RangeOutput,
    RangeTask,
    Task,
    VerifyOutput,
    VerifyTask,
)
from pipeline.mpc.reference import Words
from pipeline.site.settings import Settings

Output = TypeVar("Output")

_STATS = EngineStats(cpu_seconds=0.0, wall_seconds=0.0, bytes_sent=0, rss_bytes=0)


@dataclass
class _Meeting:
    """One computation: what each party brought, until all have come."""

    brought: dict[int, Components] = field(default_factory=dict)
    answer: Any = None
    taken: int = 0


_meetings: dict[tuple[str, ...], _Meeting] = {}
_changed = threading.Condition()


class PlainEngine(Engine):
    """Parties of one computation are those with the same hosts."""

    name: ClassVar[str] = "spu"

    def __init__(self, settings: Settings) -> None:
        pass

    def problems(self) -> tuple[str, ...]:
        """Nothing is missing."""
        return ()

    def digest(self, protocol: str) -> Sha256:
        """Of a name: there are no programs."""
        return sha256(f"plain {protocol}".encode())

    def prepare(self, protocol: str, task: Task) -> None:
        """Nothing is compiled."""

    def verify(self, protocol: str, task: VerifyTask, components: Components, party: Party) -> VerifyOutput:
        """The whole rule."""

        def plain(payloads: dict[HospitalName, Words]) -> VerifyOutput:
            found = reference.explain(task, payloads)
            failed = found.failed if task.names_condition else ()
            return VerifyOutput(found.accepted, found.budget, _STATS, failed)

        return _together(components, party, plain)

    def verify_projected(
        self, protocol: str, task: ProjectedTask, projections: Components, components: Components, party: Party
    ) -> VerifyOutput:
        """Size and direction of projections, and the rest of the rule."""
        brought = {
            hospital: {index: np.concatenate([rows, components[hospital][index]]) for index, rows in held.items()}
            for hospital, held in projections.items()
        }

        def plain(joined: dict[HospitalName, Words]) -> VerifyOutput:
            rows = {hospital: words[: rule.PROJECTIONS] for hospital, words in joined.items()}
            payloads = {hospital: words[rule.PROJECTIONS :] for hospital, words in joined.items()}
            found = reference_projected.explain(task, rows, payloads)
            failed = found.failed if task.names_condition else ()
            return VerifyOutput(found.accepted, found.budget, _STATS, failed)

        return _together(brought, party, plain)

    def check_range(self, protocol: str, task: RangeTask, components: Components, party: Party) -> RangeOutput:
        """Range alone."""
        return _together(
            components, party, lambda vectors: RangeOutput(reference.check_range(task, vectors), stats=_STATS)
        )

    def aggregate(self, protocol: str, task: AggregateTask, components: Components, party: Party) -> AggregateOutput:
        """The trimmed mean."""
        return _together(
            components, party, lambda updates: AggregateOutput(*reference.aggregate(task, updates), stats=_STATS)
        )


def _together(components: Components, party: Party, compute: Callable[[dict[HospitalName, Words]], Output]) -> Output:
    """Wait for every party, then hand each the same answer."""
    with _changed:
        meeting = _meetings.setdefault(party.hosts, _Meeting())
        meeting.brought[party.index] = components
        if len(meeting.brought) == len(party.hosts):
            meeting.answer = compute(_joined(meeting.brought.values()))
            _changed.notify_all()
        elif reason := party.gave_up():
            del meeting.brought[party.index]
            raise PeerGaveUp(reason)
        elif not _changed.wait_for(lambda: meeting.answer is not None, party.deadline_seconds):
            missing = sorted(set(range(len(party.hosts))) - meeting.brought.keys())
            del meeting.brought[party.index]
            raise EngineFailed(f"{party.peer_name(missing[0])} did not come")
        meeting.taken += 1
        if meeting.taken == len(party.hosts):
            del _meetings[party.hosts]
        answer: Output = meeting.answer
        return answer


def _joined(brought: Any) -> dict[HospitalName, Words]:
    """Each hospital's vector, the sum of the components that all parties hold together."""
    parts: dict[HospitalName, dict[int, Words]] = {}
    for components in brought:
        for hospital, held in components.items():
            parts.setdefault(hospital, {}).update(held)
    return {
        hospital: sum((np.asarray(part) for part in every.values()), np.int64(0)) for hospital, every in parts.items()
    }
