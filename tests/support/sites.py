"""Sites in folders of their own: a provider that invites, and members that join; no service runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.joining.card import Card
from pipeline.joining.invitation import Invitation
from pipeline.setup import sites
from pipeline.site.consortium import Consortium, LedgerLocation
from pipeline.site.identity import StoreCredentials
from pipeline.site.settings import PROJECT, Settings
from pipeline.site.site import PROVIDER, Site, SiteRole
from tests.support.installations import INSTALLATION, settings_in

LEDGER = LedgerLocation(chain_id=31337, contract="0x5FbDB2315678afecb367f032d93F642f64180aa3", development=True)
FRONT = "rounds.example.org:8443"
HOSPITALS = ("elm", "wren")
NODES = ("east", "north", "west")

WREN = Site(role=SiteRole.HOSPITAL, name="wren")
NORTH = Site(role=SiteRole.NODE, name="north")
AUDITOR = Site(role=SiteRole.AUDITOR, name="watch")


def members() -> list[Site]:
    """Everybody but the provider."""
    return [
        *(Site(role=SiteRole.HOSPITAL, name=name) for name in HOSPITALS),
        *(Site(role=SiteRole.NODE, name=name) for name in NODES),
        AUDITOR,
    ]


def host_of(site: Site) -> str | None:
    """Where tests say that a site answers."""
    if site.role is SiteRole.NODE:
        return f"{site.name}.example.org:7000"
    return FRONT if site.role is SiteRole.PROVIDER else None


def account(_: Settings, site: Site) -> StoreCredentials:
    """As the store makes them."""
    return StoreCredentials.generate(site.queue)


@dataclass(frozen=True)
class Apart:
    """Sites in folders of `place`, each with its own keys."""

    place: Path

    @classmethod
    def made(cls, place: Path) -> Apart:
        """With a provider whose ledger and services are there."""
        apart = cls(place)
        settings = apart.settings(PROVIDER)
        apart.init(Site(role=SiteRole.PROVIDER, name=PROVIDER))
        settings.studies.mkdir()
        shutil.copy(PROJECT / "studies" / "breast_cancer.yaml", settings.studies)
        Consortium(ledger=LEDGER, hospitals={}, nodes={}).save(settings.consortium)
        INSTALLATION.save(settings.installation)
        return apart

    def settings(self, queue: str) -> Settings:
        """Of one site."""
        usual = settings_in(self.place / queue)
        return Settings(usual.home, usual.data, usual.cache, usual.mp_spdz, usual.home / "studies")

    @property
    def provider(self) -> Settings:
        """The provider's site."""
        return self.settings(PROVIDER)

    def init(self, site: Site, host: str | None = None) -> Card:
        """A site's card."""
        return sites.init(site, host or host_of(site), self.settings(site.queue))

    def card(self, site: Site) -> tuple[str, bytes]:
        """A site's card as the provider gets it."""
        return (f"{site.queue}.json", self.init(site).data)

    def invite(self, given: Iterable[tuple[str, bytes]] = (), **options: bool) -> dict[str, bytes]:
        """Every member's invitation, by its queue."""
        written = sites.invite(list(given), self.provider, account=account, **options)
        return {path.stem: path.read_bytes() for path in written}

    def invite_all(self) -> dict[str, bytes]:
        return self.invite([self.card(site) for site in members()])

    def invitation(self, site: Site) -> Invitation:
        """The last one of a site."""
        return Invitation.read(self.provider.invited(site.queue).read_bytes(), "invitation")
