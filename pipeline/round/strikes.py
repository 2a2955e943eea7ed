"""Quarantine: who is rejected too often within the last rounds stays out until a majority of nodes releases it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from pipeline.domain import HospitalName, RoundId, Verdict


class StrikeLimits(Protocol):
    """When a hospital is out."""

    @property
    def strikes(self) -> int:
        """How many strikes."""

    @property
    def strike_window(self) -> int:
        """Within how many rounds."""


Strikes = Mapping[HospitalName, tuple[RoundId, ...]]
"""Hospital to the rounds that rejected it, oldest first, within the window."""


def updated(
    strikes: Strikes,
    verdicts: Mapping[HospitalName, Verdict],
    round_id: RoundId,
    recent: Sequence[RoundId],
    window: int,
) -> Strikes:
    """Strikes after round `round_id`.

    `recent` are the study's finished rounds before it; strikes of the last `window - 1` of them still count.
    """
    counted = {round_id, *sorted(recent)[len(recent) - min(window - 1, len(recent)) :]}
    new_strikes: dict[HospitalName, tuple[RoundId, ...]] = {}
    for hospital in sorted({*strikes, *verdicts}):
        kept = {struck for struck in strikes.get(hospital, ()) if struck in counted}
        if verdicts.get(hospital) is Verdict.REJECTED:
            kept.add(round_id)
        if kept:
            new_strikes[hospital] = tuple(sorted(kept))
    return new_strikes


def blamed(
    strikes: Strikes,
    before: Iterable[HospitalName],
    hospitals: Iterable[HospitalName],
    round_id: RoundId,
    recent: Sequence[RoundId],
    rule: StrikeLimits,
) -> tuple[Strikes, tuple[HospitalName, ...]]:
    """Strikes and quarantine after an aborted round for which a majority of nodes blames `hospitals`.

    A blame counts like a rejection.
    """
    struck = updated(strikes, dict.fromkeys(hospitals, Verdict.REJECTED), round_id, recent, rule.strike_window)
    return struck, quarantined(struck, before, rule.strikes)


def quarantined(strikes: Strikes, before: Iterable[HospitalName], limit: int) -> tuple[HospitalName, ...]:
    """Hospitals that stay out: those that were, and those with `limit` strikes."""
    return tuple(sorted({*before, *(hospital for hospital, rounds in strikes.items() if len(rounds) >= limit)}))


def released(
    strikes: Strikes, before: Iterable[HospitalName], hospital: HospitalName
) -> tuple[Strikes, tuple[HospitalName, ...]]:
    """Strikes and quarantine after a majority of nodes released `hospital`: it starts without strikes."""
    return {name: rounds for name, rounds in strikes.items() if name != hospital}, tuple(sorted({*before} - {hospital}))
