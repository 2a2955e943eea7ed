"""The steps of a round by actor and name, as Airflow's tasks take them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.domain import RoundId
from pipeline.round import hospital, node, provider, recording
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.store.bulletin_board import BulletinBoard
from pipeline.store.objects import Store

HOSPITAL: Mapping[str, Callable[..., Any]] = {
    "validate": hospital.validate,
    "train": hospital.train,
    "share": hospital.share,
    "confirm": hospital.confirm,
}
NODE: Mapping[str, Callable[..., Any]] = {
    "prepare": node.prepare,
    "verify": node.verify,
    "aggregate": node.aggregate,
    "retire": node.retire,
}
PROVIDER: Mapping[str, Callable[..., Any]] = {
    "open_round": provider.open_round,
    "commit": provider.commit,
    "finalise": provider.finalise,
    "record": recording.record,
}


def take_hospital(name: str, step: str, study: str, round_id: int, settings: Settings | None = None) -> None:
    """Take a hospital's step; raises what the step raises."""
    settings = settings or Settings.load()
    _take(HOSPITAL[step], step, settings.hospital(name), settings, study, RoundId(round_id), name)


def take_node(name: str, step: str, study: str, round_id: int, settings: Settings | None = None) -> None:
    """Take a node's step; raises what the step raises."""
    settings = settings or Settings.load()
    _take(NODE[step], step, settings.node(name), settings, study, RoundId(round_id), name)


def take_provider(step: str, study: str, round_id: int, settings: Settings | None = None) -> None:
    """Take the service provider's step; raises what the step raises."""
    settings = settings or Settings.load()
    _take(PROVIDER[step], step, settings.provider, settings, study, RoundId(round_id))


def _take(action: Callable[..., Any], step: str, home: Path, settings: Settings, study: str, round_id: RoundId, *name: str) -> None:
    started = time.monotonic()
    action(study, round_id, *name, settings)
    seconds = time.monotonic() - started
    identity = Identity.load(home)
    BulletinBoard(Store(Installation.load(settings.installation).store, identity.credentials)).timed(round_id, identity.name, step, seconds)
