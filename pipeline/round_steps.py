"""The steps of a round, in the order in which they run.

The one table that the DAG, the command line, reports and docs are made from.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Actor(StrEnum):
    """Who takes a step."""

    HOSPITAL = "hospital"
    NODE = "node"
    PROVIDER = "provider"


class Start(StrEnum):
    """When an actor's step starts, once `after` it ended."""

    ALL = "all"
    """All actors of the steps before have succeeded."""
    OWN = "own"
    """Its own step before has succeeded; what became of the others' is nothing to it."""
    ANYWAY = "anyway"
    """All have ended, however: who failed is absent."""


@dataclass(frozen=True, kw_only=True)
class RoundStep:
    """One step of every actor of a kind."""

    name: str
    actor: Actor
    function: str
    """Module and function that take it: of study, round, settings and, but for the provider, the actor's name."""
    after: tuple[str, ...]
    start: Start
    does: str
    """In words, as is the next."""
    if_it_fails: str
    decides: bool = True
    """False for what comes once the result stands: no result follows from its code."""
    of_course: bool = False
    """Whether only a study that names a course has it."""
    to_hand_in: bool = False
    """Whether it has to end before hospitals must have handed in, since what comes later is not counted."""


_STARTS_NOT = "the round does not start"
_ABSENT = "the hospital is absent"
_ABORTED = "the round is aborted"
_AGAIN = "Airflow tries again"
_HOSPITAL = "pipeline.round.hospital"
_NODE = "pipeline.round.node"
_PROVIDER = "pipeline.round.provider"

ROUND = (
    RoundStep(
        name="prepare",
        actor=Actor.NODE,
        function=f"{_NODE}:prepare",
        after=(),
        start=Start.ALL,
        does="makes a sealing key for this round only, and signs it",
        if_it_fails=_STARTS_NOT,
    ),
    RoundStep(
        name="open_round",
        actor=Actor.PROVIDER,
        function=f"{_PROVIDER}:open_round",
        after=("prepare",),
        start=Start.ALL,
        does="writes study, current model, keys and deadlines to the ledger",
        if_it_fails=_STARTS_NOT,
    ),
    RoundStep(
        name="validate",
        actor=Actor.HOSPITAL,
        function=f"{_HOSPITAL}:validate",
        after=("open_round",),
        start=Start.ALL,
        does="checks its records against the data contract",
        if_it_fails=_ABSENT,
        to_hand_in=True,
    ),
    RoundStep(
        name="train",
        actor=Actor.HOSPITAL,
        function=f"{_HOSPITAL}:train",
        after=("validate",),
        start=Start.OWN,
        does="trains the current model on its own records",
        if_it_fails=_ABSENT,
        to_hand_in=True,
    ),
    RoundStep(
        name="share",
        actor=Actor.HOSPITAL,
        function=f"{_HOSPITAL}:share",
        after=("train",),
        start=Start.OWN,
        does="splits update and validation samples into shares, seals them, signs a manifest",
        if_it_fails=_ABSENT,
        to_hand_in=True,
    ),
    RoundStep(
        name="commit",
        actor=Actor.PROVIDER,
        function=f"{_PROVIDER}:commit",
        after=("share",),
        start=Start.ANYWAY,
        does="writes the Merkle root of all manifests to the ledger",
        if_it_fails="below the quorum, the round is aborted",
    ),
    RoundStep(
        name="verify",
        actor=Actor.NODE,
        function=f"{_NODE}:verify",
        after=("commit",),
        start=Start.ALL,
        does="decides under encryption which updates to accept",
        if_it_fails=_ABORTED,
    ),
    RoundStep(
        name="aggregate",
        actor=Actor.NODE,
        function=f"{_NODE}:aggregate",
        after=("verify",),
        start=Start.ALL,
        does="opens the trimmed mean of the accepted updates, and signs a vote",
        if_it_fails=_ABORTED,
    ),
    RoundStep(
        name="finalise",
        actor=Actor.PROVIDER,
        function=f"{_PROVIDER}:finalise",
        after=("aggregate",),
        start=Start.ANYWAY,
        does="writes the result to the ledger, with the signatures of a majority",
        if_it_fails="after the deadline, the round is aborted",
    ),
    RoundStep(
        name="confirm",
        actor=Actor.HOSPITAL,
        function=f"{_HOSPITAL}:confirm",
        after=("finalise",),
        start=Start.ALL,
        does="compares the model with the ledger, and measures its accuracy",
        if_it_fails="the hospital is listed as unconfirmed",
    ),
    RoundStep(
        name="retire",
        actor=Actor.NODE,
        function=f"{_NODE}:retire",
        after=("finalise",),
        start=Start.ANYWAY,
        does="destroys the round's sealing key",
        if_it_fails=_AGAIN,
    ),
    RoundStep(
        name="conclude",
        actor=Actor.NODE,
        function=f"{_NODE}:conclude",
        after=("confirm",),
        start=Start.ANYWAY,
        does="signs that the study is done where its course says so, and writes that to the ledger",
        if_it_fails="the study goes on",
        of_course=True,
    ),
    RoundStep(
        name="record",
        actor=Actor.PROVIDER,
        function="pipeline.round.recording:record",
        after=("confirm", "retire", "conclude"),
        start=Start.ANYWAY,
        does="writes report, git commit and tag",
        if_it_fails=_AGAIN,
        decides=False,
    ),
)
"""In the order in which a round runs them."""

NAMES = tuple(step.name for step in ROUND)


def of_study(has_course: bool) -> tuple[RoundStep, ...]:
    """The steps of a study's rounds."""
    return tuple(step for step in ROUND if has_course or not step.of_course)


MOST_AT_ONCE = 100
"""Rounds of one start, one after the other."""


def dag_id(study: str) -> str:
    """The name of the DAG whose runs are the rounds of a study."""
    return f"round_{study}"


def of(actor: Actor) -> tuple[str, ...]:
    """The names of the steps that this kind of actor takes."""
    return tuple(step.name for step in ROUND if step.actor is actor)


def step(name: str) -> RoundStep:
    """The step of that name; raises KeyError for none."""
    return {step.name: step for step in ROUND}[name]
