"""Who tries whom, where a study names a panel: of all hospitals a few for each model, drawn anew in each round.

The round's hospitals stand in a circle, in an order that its seed decides; a model is tried on the samples of the next
`panel` hospitals. So each hospital's samples serve equally many models, and each model's panel is equally likely any
`panel` of the others. The seed is known only once updates and samples are committed (`pipeline.evidence.randomness`).

Source: simple random sampling without replacement; how often a draw errs: docs/adr/0035-a-panel-for-each-model.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import comb

from pipeline.domain import HospitalName, Sha256
from pipeline.evidence.canonical import digest
from pipeline.mpc import rule


def in_circle(hospitals: Iterable[HospitalName], seed: Sha256) -> tuple[HospitalName, ...]:
    """The hospitals as they stand: by a hash of each one's name under the seed."""

    def place(name: HospitalName) -> Sha256:
        return digest({"purpose": "wardround panels", "seed": seed, "hospital": name})

    return tuple(sorted(hospitals, key=place))


def members(place: int, hospitals: int, panel: int) -> list[int]:
    """Places in the circle whose hospitals try the model of the one at `place`."""
    return [(place + step) % hospitals for step in range(1, panel + 1)]


def misled(hospitals: int, liars: int, panel: int) -> float:
    """How likely so many of a model's panel lie that its trimmed counts can be theirs, of `liars` among the others.

    Raises ValueError for more liars than there are others.
    """
    others = hospitals - 1
    if not 0 <= liars <= others:
        raise ValueError(f"got {liars} liars among {others} other hospitals")
    beyond = range(rule.owners_trimmed(panel) + 1, min(liars, panel) + 1)
    return sum(comb(liars, lying) * comb(others - liars, panel - lying) for lying in beyond) / comb(others, panel)


def in_words(hospitals: int, panel: int | None) -> str:
    """Who tries a model, and how often a fifth of the hospitals, in league, would have a panel of it to themselves."""
    if panel is None:
        return f"each model is tried on all {hospitals} hospitals"
    liars = max(hospitals // 5, 1)
    probability = misled(hospitals, liars, panel)
    often = f"one panel in {round(1 / probability):,} would be theirs" if probability else "no panel could be theirs"
    return (
        f"each model is tried on {panel} of the {hospitals} hospitals, drawn in each round; if {liars} of them lied"
        f" together, {often}"
    )
