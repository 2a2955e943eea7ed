"""A site's card: what is public of it, signed by its own key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pipeline.domain import NAME_PATTERN, Address, Sha256, SiteFile
from pipeline.evidence.canonical import digest
from pipeline.joining.site_file import AddressText, SignedFile
from pipeline.joining.words import words
from pipeline.site.consortium import PORTS_PER_NODE
from pipeline.site.site import PROVIDER, Site, SiteRole
from pipeline.store import object_keys

_LAST_PORT = 65_535
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?:[1-9][0-9]{0,4}")


def host_port(text: str) -> str:
    """Accept a host name or IPv4 address with a port; raises ValueError."""
    if not _HOST.fullmatch(text) or int(text.rpartition(":")[2]) > _LAST_PORT:
        raise ValueError("a host and a port, like rounds.example.org:443")
    return text


def check_place(site: Site, host: str | None) -> None:
    """Check name and host of a site against its role; raises ValueError."""
    if site.role is SiteRole.PROVIDER and site.name != PROVIDER:
        raise ValueError(f"the name {PROVIDER} for the service provider")
    if site.role is not SiteRole.PROVIDER and site.name in object_keys.WORDS:
        raise ValueError(f"a name that is no word of the store's paths, unlike {site.name}")
    if (site.role in (SiteRole.NODE, SiteRole.PROVIDER)) is not (host is not None):
        raise ValueError("a host and a port of a node and of the provider, and of nobody else (--host HOST:PORT)")
    if site.role is SiteRole.NODE and int(str(host).rpartition(":")[2]) > _LAST_PORT + 1 - PORTS_PER_NODE:
        raise ValueError(f"a node's first port with {PORTS_PER_NODE} from it on, so at most 65504")


def _known_role(text: str) -> str:
    # A card is JSON: its role is a text there.
    return SiteRole(text).value


_KeyText = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Pem = Annotated[str, StringConstraints(max_length=4096)]
_HostPort = Annotated[str, AfterValidator(host_port)]


class Card(SignedFile):
    """Role, name and public keys of one site."""

    KIND: ClassVar[SiteFile] = SiteFile.CARD
    LARGEST: ClassVar[int] = 16 << 10

    role: Annotated[str, AfterValidator(_known_role)]
    name: Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
    address: AddressText
    """Of the key that signs the card and, except an auditor's, statements and transactions."""
    seal_key: _KeyText
    """X25519: what is for this site alone is sealed to it."""
    certificate: _Pem | None = Field(default=...)
    """A node's own certificate, or that of the provider's authority."""
    host: _HostPort | None = Field(default=...)
    """A node's host and first port, or those of the provider's front."""

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        check_place(self.site, self.host)
        if (self.certificate is None) is not (self.host is None):
            raise ValueError("a certificate of whoever is called at a host, and of nobody else")
        return self

    @property
    def site(self) -> Site:
        """Whose card it is."""
        return Site(role=SiteRole(self.role), name=self.name)

    @property
    def signer(self) -> Address:
        """The site's own address."""
        return Address(self.address)

    @property
    def hostname(self) -> str:
        """Without the port; empty where nobody calls the site."""
        return (self.host or "").rpartition(":")[0]

    @property
    def identity(self) -> Mapping[str, Any]:
        """What makes the site the one that it is, wherever it stands and whatever version it runs."""
        return self.model_dump(mode="json", include={"role", "name", "address", "seal_key", "certificate"})

    @property
    def fingerprint(self) -> Sha256:
        """Of its identity: the same as long as its keys are."""
        return digest(self.identity)

    @property
    def words(self) -> str:
        """Its fingerprint as people read it out."""
        return words(self.fingerprint)
