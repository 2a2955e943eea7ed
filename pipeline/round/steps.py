"""The steps of a round by actor and name, as Airflow's tasks take them."""

from __future__ import annotations

import importlib
import logging
import time
from pathlib import Path

from pipeline import round_steps
from pipeline.domain import RoundId
from pipeline.errors import WardroundError
from pipeline.host import log
from pipeline.round_steps import Actor
from pipeline.site.identity import Identity
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.store.bulletin_board import BulletinBoard
from pipeline.store.objects import Store

_LOG = logging.getLogger(__name__)


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
    with log.about(site="-".join([actor, *name]), study=study, round=round_id, step=step):
        started = time.monotonic()
        action = getattr(importlib.import_module(module), function)
        try:
            action(study, round_id, *name, settings)
        except WardroundError as error:
            _LOG.warning("%s ended by %s: %s", step, type(error).__name__, error)
            raise
        seconds = time.monotonic() - started
        _LOG.info("%s took %.1f s", step, seconds)
    _timed(home, settings, round_id, step, seconds)


def _timed(home: Path, settings: Settings, round_id: RoundId, step: str, seconds: float) -> None:
    """Post how long a step took."""
    identity = Identity.load(home)
    services = Installation.load(settings.installation)
    board = BulletinBoard(Store(services.store, identity.credentials, services.authority))
    board.timed(round_id, identity.name, step, seconds)
