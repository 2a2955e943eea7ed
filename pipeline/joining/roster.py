"""All cards of a consortium together: who is in it, and that no two of them are one."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.domain import HospitalName, NodeName
from pipeline.errors import Refused
from pipeline.joining.card import Card
from pipeline.joining.certificate_check import certificate_fingerprint, check_certificate
from pipeline.joining.sealed import check_seal_key
from pipeline.site.consortium import Consortium, LedgerLocation, Node
from pipeline.site.settings import Settings
from pipeline.site.site import SiteRole


def known_cards(settings: Settings) -> dict[str, Card]:
    """At the provider: the cards of all sites that are invited, by queue."""
    folder = settings.known_card("").parent
    return {path.stem: Card.kept(path.read_bytes(), str(path)) for path in sorted(folder.glob("*.json"))}


def check_roster(cards: Sequence[Card], now: float) -> None:
    """Check that each has a name and keys of its own, and a certificate that is good now.

    Raises Refused, EvidenceRejected for keys and certificates that do not fit their card.
    """
    for card in cards:
        check_certificate(card, now)
        check_seal_key(card)
    for first, one in enumerate(cards):
        for other in cards[:first]:
            _refuse_twins(other, one)


def consortium_of(cards: Sequence[Card], ledger: LedgerLocation, before: Consortium | None = None) -> Consortium:
    """The members' file that these cards make, beside the members that it names without one."""
    return Consortium(
        ledger=ledger,
        hospitals={
            **(before.hospitals if before else {}),
            **{HospitalName(card.name): card.address for card in of_role(cards, SiteRole.HOSPITAL)},
        },
        nodes={
            **(before.nodes if before else {}),
            **{NodeName(card.name): _node(card) for card in of_role(cards, SiteRole.NODE)},
        },
    )


def of_role(cards: Sequence[Card], role: SiteRole) -> list[Card]:
    """The cards of one role, in their order."""
    return [card for card in cards if card.site.role is role]


def _node(card: Card) -> Node:
    return Node(address=card.address, certificate_sha256=certificate_fingerprint(card), host=str(card.host))


def _refuse_twins(one: Card, other: Card) -> None:
    # A signed statement names its maker by its name alone, so a hospital and a node of one name are twins too.
    if one.name == other.name:
        raise Refused(
            f"{other.name}: got two sites of this name, {one.site.queue} at {one.address} and {other.site.queue} at"
            f" {other.address}: one of them takes another name in a new folder (WARDROUND_HOME, `wardround site init`)"
        )
    for what, mine, theirs in (
        ("signing key", one.address, other.address),
        ("seal key", one.seal_key, other.seal_key),
        ("certificate", one.certificate, other.certificate),
    ):
        if mine is not None and mine == theirs:
            raise Refused(
                f"{one.site.queue}, {other.site.queue}: got two sites with one {what}: keys never leave the site that"
                " made them, so one of the two makes its own in a new folder (WARDROUND_HOME, `wardround site init`)"
            )
