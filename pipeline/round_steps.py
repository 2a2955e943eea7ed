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


@dataclass(frozen=True)
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
        "prepare",
        Actor.NODE,
        f"{_NODE}:prepare",
        (),
        Start.ALL,
        "makes a sealing key for this round only, and signs it",
        _STARTS_NOT,
    ),
    RoundStep(
        "open_round",
        Actor.PROVIDER,
        f"{_PROVIDER}:open_round",
        ("prepare",),
        Start.ALL,
        "writes study, current model, keys and deadlines to the ledger",
        _STARTS_NOT,
    ),
    RoundStep(
        "validate",
        Actor.HOSPITAL,
        f"{_HOSPITAL}:validate",
        ("open_round",),
        Start.ALL,
        "checks its records against the data contract",
        _ABSENT,
        to_hand_in=True,
    ),
    RoundStep(
        "train",
        Actor.HOSPITAL,
        f"{_HOSPITAL}:train",
        ("validate",),
        Start.OWN,
        "trains the current model on its own records",
        _ABSENT,
        to_hand_in=True,
    ),
    RoundStep(
        "share",
        Actor.HOSPITAL,
        f"{_HOSPITAL}:share",
        ("train",),
        Start.OWN,
        "splits update and validation samples into shares, seals them, signs a manifest",
        _ABSENT,
        to_hand_in=True,
    ),
    RoundStep(
        "commit",
        Actor.PROVIDER,
        f"{_PROVIDER}:commit",
        ("share",),
        Start.ANYWAY,
        "writes the Merkle root of all manifests to the ledger",
        "below the quorum, the round is aborted",
    ),
    RoundStep(
        "verify",
        Actor.NODE,
        f"{_NODE}:verify",
        ("commit",),
        Start.ALL,
        "decides under encryption which updates to accept",
        _ABORTED,
    ),
    RoundStep(
        "aggregate",
        Actor.NODE,
        f"{_NODE}:aggregate",
        ("verify",),
        Start.ALL,
        "opens the trimmed mean of the accepted updates, and signs a vote",
        _ABORTED,
    ),
    RoundStep(
        "finalise",
        Actor.PROVIDER,
        f"{_PROVIDER}:finalise",
        ("aggregate",),
        Start.ANYWAY,
        "writes the result to the ledger, with the signatures of a majority",
        "after the deadline, the round is aborted",
    ),
    RoundStep(
        "confirm",
        Actor.HOSPITAL,
        f"{_HOSPITAL}:confirm",
        ("finalise",),
        Start.ALL,
        "compares the model with the ledger, and measures its accuracy",
        "the hospital is listed as unconfirmed",
    ),
    RoundStep(
        "retire",
        Actor.NODE,
        f"{_NODE}:retire",
        ("finalise",),
        Start.ANYWAY,
        "destroys the round's sealing key",
        _AGAIN,
    ),
    RoundStep(
        "record",
        Actor.PROVIDER,
        "pipeline.round.recording:record",
        ("confirm", "retire"),
        Start.ANYWAY,
        "writes report, git commit and tag",
        _AGAIN,
        decides=False,
    ),
)
"""In the order in which a round runs them."""

NAMES = tuple(step.name for step in ROUND)

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
