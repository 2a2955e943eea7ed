"""A command that stays with its services until it is told to end, as containers and init systems want one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.errors import Refused, Unavailable
from pipeline.host.files import locked
from pipeline.services import services
from pipeline.site.settings import Settings

_LOOK_SECONDS = 5.0


@contextmanager
def in_order(settings: Settings) -> Iterator[None]:
    """Stop the services in their order when the block ends, also by SIGTERM, which ends it as an exit with 0.

    Raises Refused where services run already: whoever started them did not ask for their end.
    """
    _refuse_running(settings)
    signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        services.supervisor(settings).stop()


def stay(settings: Settings) -> None:
    """Wait as long as the services' manager runs; raises Unavailable when it ended by itself."""
    manager = services.supervisor(settings)
    for_ever = threading.Event()
    while manager.running() or _starts_anew(settings):
        for_ever.wait(_LOOK_SECONDS)
    raise Unavailable(f"the process manager has ended; {settings.home / 'logs' / 'supervisord.log'} says why")


def _refuse_running(settings: Settings) -> None:
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(settings.up_lock):
        if services.supervisor(settings).running():
            raise Refused(
                f"{settings.home}: got services that another `wardround up` started, which would end with this"
                " command; leave them as they are, or give `wardround down` first"
            )


def _starts_anew(settings: Settings) -> bool:
    """Whether it runs once another `wardround up`, which may have ended it for another configuration, is done."""
    with locked(settings.up_lock):
        return services.supervisor(settings).running()


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
