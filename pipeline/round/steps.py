"""The steps of a round by actor and name, as Airflow's tasks take them."""

from __future__ import annotations

import importlib
import time
from pathlib import Path

from pipeline import round_steps
from pipeline.domain import RoundId
from pipeline.round_steps import Actor
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.store.bulletin_board import BulletinBoard
from pipeline.store.objects import Store


def take_hospital(name: str, step: str, study: str, round_id: int, settings: Settings | None = None) -> None:
    """Take a hospital's step; raises what the step raises."""
    settings = settings or Settings.load()
    _take(Actor.HOSPITAL, step, settings.hospital(name), settings, study, RoundId(round_id), name)


def take_node(name: str, step: str, study: str, round_id: int, settings: Settings | None = None) -> None:
    """Take a node's step; raises what the step raises."""
    settings = settings or Settings.load()
    _take(Actor.NODE, step, settings.node(name), settings, study, RoundId(round_id), name)


def take_provider(step: str, study: str, round_id: int, settings: Settings | None = None) -> None:
    """Take the service provider's step; raises what the step raises."""
    settings = settings or Settings.load()
    _take(Actor.PROVIDER, step, settings.provider, settings, study, RoundId(round_id))


def _take(actor: Actor, step: str, home: Path, settings: Settings, study: str, round_id: RoundId, *name: str) -> None:
    entry = round_steps.step(step)
    if entry.actor is not actor:
        raise KeyError(f"{step} is no step of a {actor}")
    module, _, function = entry.function.partition(":")
    action = getattr(importlib.import_module(module), function)
    started = time.monotonic()
    action(study, round_id, *name, settings)
    seconds = time.monotonic() - started
    identity = Identity.load(home)
    services = Installation.load(settings.installation)
    board = BulletinBoard(Store(services.store, identity.credentials, services.authority))
    board.timed(round_id, identity.name, step, seconds)
