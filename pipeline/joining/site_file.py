"""What cards and invitations have in common: canonical JSON of one scheme and version, under one signature."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from importlib.metadata import version
from time import time
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from pipeline.domain import Address, SiteFile
from pipeline.errors import EvidenceRejected, Refused, shown
from pipeline.evidence import signing
from pipeline.evidence.canonical import canonical_json, read_object
from pipeline.host.documents import first_problem
from pipeline.site.identity import SigningKey

SCHEME = 1
"""Of the form of these files."""

VERSION = version("wardround")
"""Of the Wardround that runs here."""

CLOCKS_DIFFER = 15 * 60
"""Seconds that a file may come from the future."""

AddressText = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
HexText = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2})+$")]
Seconds = Annotated[int, Field(ge=0, lt=1 << 40)]
"""Since 1970, UTC."""


class SignedFile(BaseModel):
    """A file that one site hands to another; `signature` is over all other fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    KIND: ClassVar[SiteFile]
    LARGEST: ClassVar[int]

    scheme: int
    version: str
    made: Seconds
    signature: str

    @classmethod
    def make(cls, content: Mapping[str, Any], key: SigningKey) -> Self:
        """Signed now by `key`; `content` are the fields of the kind of file alone, as JSON has them."""
        whole = {"scheme": SCHEME, "version": VERSION, "made": int(time()), **content}
        return cls.model_validate({**whole, "signature": signing.sign_site_file(cls.KIND, whole, key)})

    @classmethod
    def read(cls, data: bytes, what: str) -> Self:
        """The file that `what` names in messages, by its own form and signature.

        Raises EvidenceRejected for one that is damaged or forged, Refused for another version's.
        """
        kind = cls.KIND.lower()
        try:
            value = read_object(data, cls.LARGEST)
        except EvidenceRejected as error:
            raise EvidenceRejected(
                f"{what}: got no {kind}, or one that was cut off on its way ({error}): have it sent again"
            ) from error
        found = cls._of(value, what)
        if found.data != data:
            raise EvidenceRejected(f"{what}: got another spelling of a {kind}: have the file itself sent again")
        return found

    @classmethod
    def _of(cls, value: Mapping[str, Any], what: str) -> Self:
        _refuse_another_version(value, what)
        try:
            found = cls.model_validate(value)
        except ValidationError as error:
            raise EvidenceRejected(f"{what}: {first_problem(error)}; have the {cls.KIND.lower()} sent again") from error
        found.check(what)
        return found

    @classmethod
    def kept(cls, data: bytes, what: str) -> Self:
        """A file that this site took before, whatever version ran then; raises EvidenceRejected."""
        try:
            return cls.model_validate(read_object(data, cls.LARGEST))
        except ValidationError as error:
            raise EvidenceRejected(f"{what}: {first_problem(error)}; put it back from a backup") from error

    def refuse_another_version(self, what: str) -> None:
        """Raise Refused unless the file is of the version that runs here."""
        _refuse_another_version({"scheme": self.scheme, "version": self.version}, what)

    def check(self, what: str) -> None:
        """Raise EvidenceRejected unless whoever the file is of signed it."""
        signing.check_site_file(self.KIND, self._content, self.signature, self.signer, what)

    @property
    @abstractmethod
    def signer(self) -> Address:
        """Whose signature it must bear."""

    @property
    def data(self) -> bytes:
        """The file's bytes."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def _content(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"signature"})


def refuse_from_the_future(made: int, now: float, what: str, whose: str) -> None:
    """Raise Refused for a file that was made later than now by this machine's clock; `whose` clock the other one is."""
    if made > now + CLOCKS_DIFFER:
        raise Refused(
            f"{what}: got a file that will be made in {int(made - now) // 60} min by this machine's clock: one of the"
            f" two clocks is wrong, this machine's or {whose}; set it (NTP), then give the command again"
        )


def _refuse_another_version(value: Mapping[str, Any], what: str) -> None:
    scheme, theirs = value.get("scheme"), value.get("version")
    if (scheme, theirs) != (SCHEME, VERSION):
        raise Refused(
            f"{what}: got a file of Wardround {shown(theirs)} (scheme {shown(scheme)}), want {VERSION!r} (scheme"
            f" {SCHEME}), which runs here: install one version at all sites, and have the file made anew there"
        )
