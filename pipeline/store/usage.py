"""Who uses how much of the store: what object lock keeps for a year stands against whoever wrote it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import places
from pipeline.errors import WardroundError
from pipeline.store.objects import Store

_LOCKED = (places.REPORTS, places.MODELS)


@dataclass(frozen=True)
class Share:
    """What one member has in the buckets that nobody deletes from, with every version."""

    who: str
    objects: int
    size: int
    """Bytes."""

    def __str__(self) -> str:
        return f"{self.who} {self.objects:,} objects, {self.size / 2**20:,.1f} MiB"


@dataclass(frozen=True)
class Usage:
    """Everybody's share, the largest first."""

    shares: Sequence[Share]
    complete: bool
    """Whether the time sufficed to list everything; else the shares are of what was listed first."""
    trouble: str | None = None
    """Why nothing could be listed."""


def usage(store: Store, seconds: float) -> Usage:
    """List what lies in the locked buckets, for so long at most."""
    end, complete = time.monotonic() + seconds, True
    objects, size = Counter[str](), Counter[str]()
    try:
        for bucket in _LOCKED:
            for item in store.walk(bucket):
                who = places.author(bucket, item.key)
                objects[who] += 1
                size[who] += item.size
                if time.monotonic() > end:
                    complete = False
                    break
    except WardroundError as error:
        return Usage((), False, str(error))
    shares = sorted((Share(who, objects[who], size[who]) for who in objects), key=lambda share: (-share.size, share.who))
    return Usage(shares, complete)
