"""What a member's owner has at hand between rounds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pipeline.chain.ledger import Ledger
from pipeline.chain.outbox import Outbox
from pipeline.domain import RoundStatus
from pipeline.errors import Refused
from pipeline.host.secret import Secret
from pipeline.site.consortium import Consortium
from pipeline.site.identity import SigningKey
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings


@dataclass(frozen=True)
class Owner:
    """A member's folder, the members' file and the ledger: no store, no study that would have to be approved."""

    settings: Settings
    home: Path
    consortium: Consortium
    ledger: Ledger
    services: Installation

    @classmethod
    def open(cls, home: Path, settings: Settings) -> Self:
        """The owner of the member whose folder is `home`; raises Misconfigured when ledger or file is another."""
        consortium = Consortium.load(settings.consortium)
        services = Installation.load(settings.installation)
        ledger = Ledger.connect(services.rpc, consortium.ledger, services.authority)
        return cls(settings, home, consortium, ledger, services)

    @property
    def key(self) -> SigningKey:
        """The member's present key."""
        return SigningKey(Secret.read(self.home / "signing-key"))

    def outbox(self, key: SigningKey | None = None) -> Outbox:
        """The sender of the member's transactions, by its present key or by `key`."""
        signer = key or self.key
        return Outbox(self.home / "outbox", signer, self.services.rpc, self.ledger.chain_id, self.services.authority)

    def between_rounds(self) -> None:
        """Raise Refused while any round runs: it is bound to the keys with which it was opened."""
        running = [
            state.round for state in self.ledger.rounds() if state.status in (RoundStatus.OPEN, RoundStatus.COMMITTED)
        ]
        if running:
            raise Refused(f"round {running[-1]} is running, and is bound to the keys of its opening: wait for its end")
