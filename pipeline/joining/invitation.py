"""An invitation: all that one member needs of the consortium, signed by the provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, StringConstraints

from pipeline.domain import NAME_PATTERN, Address, SiteFile
from pipeline.host.documents import LARGEST_YAML
from pipeline.joining.card import Card
from pipeline.joining.site_file import HexText, SignedFile
from pipeline.site.consortium import LedgerLocation
from pipeline.site.site import SiteRole

_STUDIES = 64


def _named_studies(studies: Mapping[str, str]) -> Mapping[str, str]:
    # Each becomes a file of that name.
    if len(studies) > _STUDIES or not all(re.fullmatch(NAME_PATTERN, name) for name in studies):
        raise ValueError(f"at most {_STUDIES} studies, by names of small letters, digits, hyphens and underscores")
    return studies


_Text = Annotated[str, StringConstraints(max_length=LARGEST_YAML)]


class Invitation(SignedFile):
    """Who the members are, where ledger and services are, which studies there are, and what is for one member alone."""

    KIND: ClassVar[SiteFile] = SiteFile.INVITATION
    LARGEST: ClassVar[int] = 8 << 20

    member: str
    """Queue of the site that it is for."""
    provider: Card
    cards: list[Card]
    """Of all other sites, the member's own among them, by queue."""
    ledger: LedgerLocation
    studies: Annotated[Mapping[str, _Text], AfterValidator(_named_studies)]
    """Text of each study's file, by its name."""
    sealed: HexText
    """For the member alone; see `sealed`."""

    @property
    def signer(self) -> Address:
        """The provider's address."""
        return Address(self.provider.address)

    def check(self, what: str) -> None:
        """Check the provider's signature, and each site's under its card.

        Raises EvidenceRejected, Refused for a card of another version.
        """
        super().check(what)
        for card in self.everybody:
            card.refuse_another_version(f"{what}: {card.site.queue}")
            card.check(f"{what}: card of {card.site.queue}")

    @property
    def everybody(self) -> list[Card]:
        """The provider's card and all others."""
        return [self.provider, *self.cards]

    @property
    def own(self) -> Card | None:
        """The card of the member that it is for."""
        return next((card for card in self.cards if card.site.queue == self.member), None)

    @property
    def front(self) -> str:
        """Where all services of the provider answer."""
        return f"https://{self.provider.host}"


def in_order(cards: list[Card]) -> list[Card]:
    """The members' cards as an invitation lists them."""
    return sorted((card for card in cards if card.site.role is not SiteRole.PROVIDER), key=lambda card: card.site.queue)
