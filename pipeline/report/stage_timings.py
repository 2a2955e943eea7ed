"""How long a round's stages took: from its stored report, or from what the actors posted while that has not expired."""

from __future__ import annotations

from typing import Any

from pipeline import round_steps
from pipeline.audit.interfaces import ObjectStore
from pipeline.audit.round_objects import RoundObjects
from pipeline.domain import RoundId, Sha256
from pipeline.errors import WardroundError
from pipeline.evidence.canonical import read_object
from pipeline.store import object_keys

_LONGEST_SECONDS = 10**6


def stage_seconds(objects: RoundObjects, store: ObjectStore, round_id: RoundId) -> dict[str, float]:
    """Stage to the wall seconds of its slowest actor, in the order of the stages."""
    seconds = _reported_seconds(objects, round_id) or _posted_seconds(store, round_id)
    return {stage: seconds[stage] for stage in round_steps.NAMES if stage in seconds}


def stored_report(objects: RoundObjects, round_id: RoundId) -> dict[str, Any] | None:
    """The JSON report that was stored for a round, or None when there is none that holds."""
    key_prefix = object_keys.report(round_id, "json")
    for digest in objects.digests(key_prefix):
        try:
            return read_object(objects.read(key_prefix, digest))
        except WardroundError:
            continue
    return None


def _reported_seconds(objects: RoundObjects, round_id: RoundId) -> dict[str, float]:
    seconds = (stored_report(objects, round_id) or {}).get("seconds")
    if not isinstance(seconds, dict):
        return {}
    return {
        stage: float(value)
        for stage, value in seconds.items()
        if stage in round_steps.NAMES and isinstance(value, int | float)
    }


def _posted_seconds(store: ObjectStore, round_id: RoundId) -> dict[str, float]:
    """What the actors posted; empty once that has expired, or for a reader who may not see the mailbox."""
    prefix = f"rounds/{round_id}/timings/"
    slowest: dict[str, float] = {}
    try:
        posted = store.history(object_keys.MAILBOX, prefix)
    except WardroundError:
        return {}
    for version in posted:
        _, _, rest = version.key.removeprefix(prefix).partition("/")
        stage, _, name = rest.partition("/")
        try:
            data = store.get(object_keys.MAILBOX, version.key, Sha256(name.partition(".")[0]))
            seconds = float(read_object(data)["seconds"])
        except (WardroundError, ValueError, KeyError, TypeError):
            continue
        if stage in round_steps.NAMES and 0 <= seconds <= _LONGEST_SECONDS:
            slowest[stage] = max(slowest.get(stage, 0.0), seconds)
    return slowest
