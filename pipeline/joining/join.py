"""What a member checks of an invitation before it joins, and what it then writes: all of it or nothing."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import time

import yaml

from pipeline.errors import Misconfigured, Refused
from pipeline.host.files import locked, scratch, write_atomic, write_secret
from pipeline.host.secret import Secret
from pipeline.joining.card import Card
from pipeline.joining.invitation import Invitation
from pipeline.joining.roster import check_roster, consortium_of, of_role
from pipeline.joining.sealed import Access
from pipeline.joining.site_file import CLOCKS_DIFFER, refuse_from_the_future
from pipeline.joining.words import same
from pipeline.site.identity import STORE_CREDENTIALS
from pipeline.site.installation import Folders, Installation, Telemetry
from pipeline.site.settings import Settings
from pipeline.site.site import PROVIDER, Site, SiteRole
from pipeline.study.study import Study

SEAL_KEY = "seal-key"
"""In a member's private folder: opens what invitations say to it alone."""


@dataclass(frozen=True)
class Joining:
    """An invitation that fits this site; nothing of it is written yet."""

    site: Site
    invitation: Invitation
    access: Access
    changed: tuple[Card, ...]
    """Members whose keys or certificates are others than in the invitation that this site joined by before."""

    def refuse_unless(self, accepted: Collection[str], fingerprint: str | None = None) -> None:
        """Raise Refused for a member that changed and is not among `accepted`, by name, or for other words.

        `fingerprint` are the provider's words, as somebody else told them.
        """
        for card in self.changed:
            if card.name not in accepted:
                raise Refused(_changed(card))
        if fingerprint is not None and not same(fingerprint, self.invitation.provider.words):
            raise Refused(
                f"{PROVIDER}: got a provider whose words are {self.invitation.provider.words!r}, want"
                f" {fingerprint!r}: call it by telephone; where its words differ, throw the invitation away"
            )


def examine(data: bytes, what: str, settings: Settings, now: float | None = None) -> Joining:
    """Check an invitation against this site; `what` names it in messages, `now` is in seconds since 1970.

    Raises Refused for one that is meant for another site, is of another version, older than the last one, from the
    future or of members that cannot be together; EvidenceRejected for a damaged or forged one; Misconfigured where
    this is no site yet.
    """
    now = time() if now is None else now
    site = _member(settings)
    invitation = Invitation.read(data, what)
    if invitation.member != site.queue:
        raise Refused(
            f"{what}: got an invitation for {invitation.member}, and this is the site of {site.queue}: ask the provider"
            " for your own"
        )
    refuse_from_the_future(invitation.made, now, what, "the provider's")
    own = _own_card(invitation, what, settings)
    check_roster(invitation.everybody, now)
    before = _joined(settings)
    if before is not None and invitation.made < before.made:
        raise Refused(
            f"{what}: got an invitation that is older than the one that this site joined by: ask the provider for the"
            " newest one"
        )
    access = Access.unseal(
        bytes.fromhex(invitation.sealed), own, invitation.provider, Secret.read(site.folder(settings) / SEAL_KEY)
    )
    return Joining(site, invitation, access, () if before is None else tuple(_changes(before, invitation)))


def join(joining: Joining, settings: Settings) -> None:
    """Write what the invitation says, whole or not at all; it may be joined by again.

    Raises InvalidStudy for a study's file that is none.
    """
    invitation = joining.invitation
    nodes = of_role(invitation.cards, SiteRole.NODE)
    private = joining.site.folder(settings)
    studies = settings.home / "studies"
    consortium = consortium_of(invitation.cards, invitation.ledger)
    with locked(settings.up_lock), scratch(settings.home, "join") as folder:
        made = _Made(folder)
        for name, text in invitation.studies.items():
            Study.load(made.add(studies / f"{name}.yaml", text.encode()))
        for card in nodes:
            made.add(settings.certificate(card.name), str(card.certificate).encode())
        made.add(settings.authority, str(invitation.provider.certificate).encode())
        made.add(settings.consortium, yaml.safe_dump(consortium.model_dump(mode="json"), sort_keys=False).encode())
        _installation(settings, invitation, studies).save(made.place(settings.installation))
        joining.access.store.save(made.place(private / STORE_CREDENTIALS))
        if joining.access.token is not None:
            made.add_secret(settings.site_token, joining.access.token.reveal())
        # Last: as long as it is not there, the command was broken off and is given again.
        made.add(settings.invitation, invitation.data)
        made.move()
        _remove_others(studies, "*.yaml", [f"{name}.yaml" for name in invitation.studies])
        _remove_others(settings.certificate("").parent, "*.pem", [f"{card.name}.pem" for card in nodes])


class _Made:
    """Files that are written aside first, and then moved to their places, in this order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: list[tuple[Path, Path]] = []

    def place(self, path: Path) -> Path:
        """Where to write what will lie at `path`."""
        aside = self._folder / str(len(self._places)) / path.name
        aside.parent.mkdir()
        self._places.append((aside, path))
        return aside

    def add(self, path: Path, data: bytes) -> Path:
        aside = self.place(path)
        write_atomic(aside, data)
        return aside

    def add_secret(self, path: Path, data: bytes) -> None:
        write_secret(self.place(path), data)

    def move(self) -> None:
        for _, path in self._places:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for aside, path in self._places:
            os.replace(aside, path)


def _member(settings: Settings) -> Site:
    site = Site.load(settings)
    if site is None:
        raise Misconfigured(
            f"{settings.home}: got no site, want one: `wardround site init` makes it, and its card goes to the provider"
        )
    if site.role is SiteRole.PROVIDER:
        raise Refused(f"{settings.home}: got the provider's own site, which invites and joins nobody")
    return site


def _own_card(invitation: Invitation, what: str, settings: Settings) -> Card:
    mine = Card.read(settings.card.read_bytes(), str(settings.card)) if settings.card.exists() else None
    theirs = invitation.own
    if mine is None or theirs is None or (mine.identity, mine.host) != (theirs.identity, theirs.host):
        raise Refused(
            f"{what}: got an invitation of another card than this site's: give `wardround site init` again, and hand"
            f" {settings.card} to the provider, who invites anew"
        )
    if theirs.made > invitation.made + CLOCKS_DIFFER:
        raise Refused(
            f"{what}: got an invitation that says it is {(theirs.made - invitation.made) // 60} min older than the card"
            " in it: this machine's clock or the provider's is wrong; set it (NTP), then `wardround site init` again"
        )
    return theirs


def _joined(settings: Settings) -> Invitation | None:
    path = settings.invitation
    return Invitation.kept(path.read_bytes(), str(path)) if path.exists() else None


def _changes(before: Invitation, now: Invitation) -> Iterable[Card]:
    known = {card.name: card for card in before.everybody}
    for card in now.everybody:
        if card.name in known and known[card.name].fingerprint != card.fingerprint and card.name != _name(now):
            yield card
    if before.ledger != now.ledger and now.provider.fingerprint == before.provider.fingerprint:
        yield now.provider


def _name(invitation: Invitation) -> str | None:
    return None if invitation.own is None else invitation.own.name


def _changed(card: Card) -> str:
    who = "the provider's key, authority or ledger is" if card.name == PROVIDER else f"{card.name}'s keys are"
    return (
        f"{card.name}: {who} another than in the invitation that this site joined by. Call {card.name} by telephone:"
        f" its words must be {card.words!r}. If they are, and it says why, join with `--changed {card.name}`; if not,"
        " throw the invitation away"
    )


def _installation(settings: Settings, invitation: Invitation, studies: Path) -> Installation:
    known = Installation.load(settings.installation) if Installation.is_made(settings.installation) else None
    given = {} if known is None or known.folders is None else known.folders.given
    return Installation(
        store=invitation.front,
        rpc=f"{invitation.front}/rpc",
        airflow=invitation.front,
        authority=Path(settings.authority.name),
        development_chain=False,
        folders=Folders(**{**given, "studies": studies}),
        mp_spdz_release=None if known is None else known.mp_spdz_release,
        telemetry=Telemetry() if known is None else known.telemetry,
    )


def _remove_others(folder: Path, pattern: str, names: Collection[str]) -> None:
    for path in folder.glob(pattern):
        if path.name not in names:
            path.unlink()
