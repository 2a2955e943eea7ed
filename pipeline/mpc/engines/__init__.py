"""Engines of encrypted computation, behind one interface; a study names one and nothing substitutes it."""

from pipeline.mpc.engines.base import Engine
from pipeline.mpc.engines.mp_spdz.engine import MpSpdz
from pipeline.mpc.engines.spu.engine import Spu
from pipeline.site.settings import Settings

ENGINES: dict[str, type[MpSpdz] | type[Spu]] = {engine.name: engine for engine in (MpSpdz, Spu)}
"""Name in a study file to engine."""


def engine(name: str, settings: Settings) -> Engine:
    """The engine of that name on this machine."""
    return ENGINES[name](settings)


__all__ = ["ENGINES", "Engine", "engine"]
