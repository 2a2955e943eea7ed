"""Who uses how much of the store: what object lock keeps for a year stands against whoever wrote it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import WardroundError
from pipeline.site.installation import Quota
from pipeline.store import object_keys
from pipeline.store.objects import Store

_LOCKED = (object_keys.REPORTS, object_keys.MODELS)
_MEMBERS = ("hospital", "node")


@dataclass(frozen=True)
class Share:
    """What one member has in the buckets that nobody deletes from, with every version."""

    who: str
    objects: int
    size: int
    """Bytes."""

    @property
    def account(self) -> str | None:
        """The store account of a hospital or node; None for what others, or several, wrote."""
        side, _, name = self.who.partition(" ")
        return f"{side}-{name}" if side in _MEMBERS else None

    def beyond(self, quota: Quota) -> bool:
        """Whether a hospital or node has more than it may."""
        return self.account is not None and (self.objects > quota.objects or self.size > quota.mebibytes << 20)

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

    def beyond(self, quota: Quota) -> Sequence[Share]:
        """Hospitals and nodes that have more than they may, as far as was listed."""
        return [share for share in self.shares if share.beyond(quota)]


def usage(store: Store, seconds: float) -> Usage:
    """List what lies in the locked buckets, for so long at most."""
    end = time.monotonic() + seconds
    complete = True
    objects = Counter[str]()
    size = Counter[str]()
    try:
        for bucket in _LOCKED:
            for item in store.walk(bucket):
                who = object_keys.author(bucket, item.key)
                objects[who] += 1
                size[who] += item.size
                if time.monotonic() > end:
                    complete = False
                    break
    except WardroundError as error:
        return Usage((), False, str(error))
    shares = sorted(
        (Share(who, objects[who], size[who]) for who in objects), key=lambda share: (-share.size, share.who)
    )
    return Usage(shares, complete)
