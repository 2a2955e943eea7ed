"""What endpoints share, as parameters of theirs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from plugins.console.rounds import RoundIndex


def _index(request: Request) -> RoundIndex:
    index: RoundIndex = request.app.state.index
    return index


Rounds = Annotated[RoundIndex, Depends(_index)]
"""The rounds of this installation; `.evidence` reads ledger and store, `.settings` says where things lie."""
