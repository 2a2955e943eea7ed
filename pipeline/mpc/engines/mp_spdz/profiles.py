"""How a program is laid out for the network between the nodes; the result is the same, bit for bit."""

from __future__ import annotations

from enum import StrEnum

WAN_FROM_SECONDS = 0.005
"""Round trip from which saved rounds are worth the memory: below, a round costs less than what it takes to compute on
more at once."""


class Profile(StrEnum):
    """What the compiler is told."""

    LAN = "lan"
    """One model and one block of samples at a time: little memory, many rounds."""
    WAN = "wan"
    """All models at once, on as many samples as memory allows: few rounds."""

    @classmethod
    def fitting(cls, round_trip_seconds: float) -> Profile:
        """The faster one at this round trip."""
        return cls.WAN if round_trip_seconds >= WAN_FROM_SECONDS else cls.LAN
