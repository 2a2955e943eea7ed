"""What a site's Edge worker says of itself with each heartbeat, beside what Airflow's own says."""

from __future__ import annotations

import time
from functools import cache
from importlib.metadata import version

from pipeline.site.settings import Settings
from pipeline.site.site import Site, SiteRole

FUNCTION = f"{__name__}.report"
"""As Airflow's setting `extended_system_info_function` wants it."""

VERSION = "wardround_version"
ENGINE = "wardround_engine"
TIME = "wardround_time"


@cache
def own_version() -> str:
    """Which Wardround runs here."""
    return version("wardround")


async def report() -> dict[str, str | float]:
    """Version and engines of this machine, and its time in seconds since 1970."""
    return {VERSION: own_version(), ENGINE: _engines(), TIME: time.time()}


@cache
def _engines() -> str:
    """Where a node computes, the engines that are installed: once, since the worker starts anew where that changes."""
    settings = Settings.load()
    site = Site.load(settings)
    if site is None or site.role is not SiteRole.NODE:
        return ""
    present = {"mp-spdz": (settings.mp_spdz / "compile.py").exists(), "spu": settings.spu_python.exists()}
    return ", ".join(name for name, there in present.items() if there) or "none"
