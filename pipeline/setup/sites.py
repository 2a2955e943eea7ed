"""A machine as one member's site: made, invited by the provider, and revoked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import time

from pipeline.airflow import airflow
from pipeline.chain.ledger import Ledger
from pipeline.domain import Address
from pipeline.errors import Misconfigured, Refused
from pipeline.host.files import locked, write_atomic, write_secret
from pipeline.host.secret import Secret
from pipeline.joining.card import Card, check_place
from pipeline.joining.invitation import Invitation, in_order
from pipeline.joining.join import SEAL_KEY
from pipeline.joining.roster import check_roster, consortium_of, known_cards, of_role
from pipeline.joining.sealed import Access, seal_key
from pipeline.joining.site_file import refuse_from_the_future
from pipeline.setup import store
from pipeline.site import certificates, identity
from pipeline.site.consortium import Consortium
from pipeline.site.identity import SigningKey, StoreCredentials
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.site.site import PROVIDER, Site, SiteRole
from pipeline.study.study_files import StudyFiles

_TOKEN_BYTES = 48


def init(site: Site, host: str | None, settings: Settings) -> Card:
    """Make the site's folder, keys and certificate on this machine, and its card; keeps what is there.

    `host` is where a node or the provider answers, host:port. Raises Refused where another site lies there.
    """
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(settings.up_lock):
        _refuse_another_site(site, settings)
        folder = site.folder(settings)
        before = _own_card(settings) if settings.card.exists() else None
        host = host or (before.host if before else None)
        _refuse_another_host(site, host, before, settings)
        site.save(settings)
        key = identity.create(folder, sharing=site.role is SiteRole.HOSPITAL)
        if not (folder / SEAL_KEY).exists():
            write_secret(folder / SEAL_KEY, Secret.generate().reveal())
        content = {
            "role": site.role.value,
            "name": site.name,
            "address": key.address,
            "seal_key": seal_key(Secret.read(folder / SEAL_KEY)),
            "certificate": _certificate(site, folder, host),
            "host": host,
        }
        card = Card.make(content, key)
        if before is not None and (before.identity, before.host) == (card.identity, card.host) and _current(before):
            return before
        write_atomic(settings.card, card.data)
        return card


def prepare_provider(settings: Settings) -> bool:
    """Make the token of the provider's own worker, and its server's certificate anew when that nears its end.

    The caller holds the installation's lock. Returns whether the certificate is another one.
    """
    airflow.make_site_token(settings, PROVIDER)
    write_secret(settings.site_token, Secret.read(settings.token_of(PROVIDER)).reveal())
    return certificates.create_server(settings.provider / certificates.TLS, [_provider_card(settings).hostname])


def invite(
    given: Sequence[tuple[str, bytes]],
    settings: Settings,
    *,
    renew: bool = False,
    account: Callable[[Settings, Site], StoreCredentials] | None = None,
    now: float | None = None,
) -> list[Path]:
    """Take these cards, by what messages call them, and write every member's invitation; their files.

    Whoever was invited before keeps account and token unless `renew`. Nothing is written when a card is refused.
    Raises Refused, EvidenceRejected, Misconfigured, Unavailable.
    """
    now = time() if now is None else now
    provider = _provider_card(settings)
    with locked(settings.up_lock):
        known = known_cards(settings)
        roster = dict(known)
        for what, data in given:
            card = Card.read(data, what)
            refuse_from_the_future(card.made, now, what, f"{card.site.queue}'s")
            if card.site.role is SiteRole.PROVIDER:
                raise Refused(f"{what}: got a provider's card, want those of hospitals, nodes and auditors")
            _refuse_another_key(card, known, settings)
            roster[card.site.queue] = card
        cards = in_order(list(roster.values()))
        for card in cards:
            card.refuse_another_version(card.site.queue)
        check_roster([provider, *cards], now)
        consortium = consortium_of(
            cards, Consortium.load(settings.consortium).ledger, Consortium.load(settings.consortium)
        )
        access = {card.site.queue: _access(card, provider, settings, renew, account or _account) for card in cards}
        key = SigningKey(Secret.read(settings.provider / "signing-key"))
        common = {
            "provider": provider.model_dump(mode="json"),
            "cards": [card.model_dump(mode="json") for card in cards],
            "ledger": consortium.ledger.model_dump(mode="json"),
            "studies": _studies(settings),
        }
        for card in cards:
            write_atomic(settings.known_card(card.site.queue), card.data)
        for card in of_role(cards, SiteRole.NODE):
            write_atomic(settings.certificate(card.name), str(card.certificate).encode())
        consortium.save(settings.consortium)
        written = []
        for card in cards:
            queue = card.site.queue
            invitation = Invitation.make({**common, "member": queue, "sealed": access[queue].hex()}, key)
            write_atomic(settings.invited(queue), invitation.data)
            written.append(settings.invited(queue))
    return written


def revoke(queue: str, settings: Settings, close: Callable[[Settings, Site], object] | None = None) -> Site:
    """Take a site's token and account at the store away, and its card; nobody else's.

    Raises Refused where no such site was invited, Unavailable.
    """
    _provider_card(settings)
    with locked(settings.up_lock):
        known = known_cards(settings)
        if queue not in known:
            raise Refused(f"{queue}: got no site of this name, want one of {', '.join(known) or 'none so far'}")
        settings.token_of(queue).unlink(missing_ok=True)
        # Another account in its place, whose keys nobody keeps.
        (close or _account)(settings, known[queue].site)
        settings.invited(queue).unlink(missing_ok=True)
        former = _revoked(queue, settings)
        former.parent.mkdir(exist_ok=True)
        settings.known_card(queue).rename(former)
    return known[queue].site


def without_card(settings: Settings) -> list[str]:
    """At the provider: the names of members that studies need and that have no card yet."""
    studies = StudyFiles.read(settings.studies).all()
    needed = {str(name) for study in studies.values() for name in (*study.hospitals, *study.nodes)}
    return sorted(needed - {card.name for card in known_cards(settings).values()})


def _refuse_another_site(site: Site, settings: Settings) -> None:
    there = Site.load(settings)
    if there is not None and there != site:
        raise Refused(
            f"{settings.home}: got the site of {there.queue} there, want a folder of its own for {site.queue}: set"
            " WARDROUND_HOME to another one"
        )
    if there is None and (settings.consortium.exists() or settings.installation.exists()):
        raise Refused(
            f"{settings.home}: got an installation of all sites on one machine, want a new folder for {site.queue}: set"
            " WARDROUND_HOME to one"
        )


def _refuse_another_host(site: Site, host: str | None, before: Card | None, settings: Settings) -> None:
    try:
        check_place(site, host)
    except ValueError as error:
        raise Misconfigured(f"{site.queue}: got {host or 'no host'}, want {error}") from error
    if site.role is SiteRole.NODE and before is not None and before.hostname != str(host).rpartition(":")[0]:
        raise Refused(
            f"{site.queue}: got the host {host}, but its certificate is for {before.hostname}: to move there, move"
            f" {site.folder(settings) / certificates.TLS} and {settings.card} away first; all owners then approve their"
            " studies again, whose digests hold certificates"
        )


def _certificate(site: Site, folder: Path, host: str | None) -> str | None:
    tls = folder / certificates.TLS
    hostname = str(host).rpartition(":")[0]
    match site.role:
        case SiteRole.NODE:
            certificates.create(tls, site.name, hostname)
            return (tls / "cert.pem").read_text()
        case SiteRole.PROVIDER:
            certificates.create_authority(tls, f"Wardround authority for {hostname}")
            certificates.create_server(tls, [hostname])
            return (tls / certificates.AUTHORITY).read_text()
    return None


def _own_card(settings: Settings) -> Card:
    return Card.kept(settings.card.read_bytes(), str(settings.card))


def _current(card: Card) -> bool:
    try:
        card.refuse_another_version("card")
    except Refused:
        return False
    return True


def _provider_card(settings: Settings) -> Card:
    site = Site.load(settings)
    if site is None or site.role is not SiteRole.PROVIDER:
        raise Refused(
            f"{settings.home}: got no provider's site, want one: give the command on the provider's machine, where"
            " `wardround site init --provider` was given"
        )
    return Card.read(settings.card.read_bytes(), str(settings.card))


def _refuse_another_key(card: Card, known: dict[str, Card], settings: Settings) -> None:
    """Refuse a known name's card under another key, unless the ledger says that the one followed the other."""
    queue = card.site.queue
    consortium = Consortium.load(settings.consortium)
    hospitals = {str(name): address for name, address in consortium.hospitals.items()}
    nodes = {str(name): node.address for name, node in consortium.nodes.items()}
    named = {SiteRole.HOSPITAL: hospitals, SiteRole.NODE: nodes}
    if any(card.name in names for role, names in named.items() if role is not card.site.role):
        raise Refused(
            f"{queue}: got two sites of this name, and a signed statement names its maker: this one takes another name"
            " in a new folder (WARDROUND_HOME, `wardround site init`)"
        )
    others = [name for name, key in {**hospitals, **nodes}.items() if key == card.address and name != card.name]
    if others:
        raise Refused(
            f"{queue}: got a card of {others[0]}'s key {card.address}, want one of its own: `wardround site init`"
        )
    before = known[queue].address if queue in known else named.get(card.site.role, {}).get(card.name)
    if before in (None, card.address) or (queue not in known and _revoked(queue, settings).exists()):
        return
    if card.site.role is SiteRole.HOSPITAL and _followed(Address(before), card.signer, settings):
        return
    raise Refused(
        f"{queue}: got a card of the key {card.address}, and the member of this name has {before}: call it by"
        f" telephone; if its key is lost, `wardround site revoke {queue}` first, then invite the new card"
    )


def _revoked(queue: str, settings: Settings) -> Path:
    return settings.known_card(f"revoked/{queue}")


def _followed(previous: Address, successor: Address, settings: Settings) -> bool:
    location = Consortium.load(settings.consortium).ledger
    services = Installation.load(settings.installation)
    ledger = Ledger.connect(services.rpc, location, services.authority)
    return ledger.present_key(previous) == successor


def _access(
    card: Card, provider: Card, settings: Settings, renew: bool, account: Callable[[Settings, Site], StoreCredentials]
) -> bytes:
    """What is for this site alone: as it was told before, else a new account and, for a site that works, a token."""
    queue = card.site.queue
    if not renew and (kept := _kept(card, provider, settings)) is not None:
        return kept
    token = None
    if card.site.works:
        token = Secret(Secret.generate(_TOKEN_BYTES).token().encode())
    sealed = Access(account(settings, card.site), token).seal(card, provider)
    if token is not None:
        write_secret(settings.token_of(queue), token.reveal())
    return sealed


def _kept(card: Card, provider: Card, settings: Settings) -> bytes | None:
    """What the last invitation told the site, where it can still open it and its token still counts."""
    path = settings.invited(card.site.queue)
    if not path.exists() or (card.site.works and not settings.token_of(card.site.queue).exists()):
        return None
    before = Invitation.kept(path.read_bytes(), str(path))
    own = before.own
    if own is None or (own.address, own.seal_key) != (card.address, card.seal_key):
        return None
    return bytes.fromhex(before.sealed) if before.provider.address == provider.address else None


def _studies(settings: Settings) -> dict[str, str]:
    """Text of every study's file, by name; raises InvalidStudy for one that does not hold."""
    names = StudyFiles.read(settings.studies).all()
    return {name: (settings.studies / f"{name}.yaml").read_text() for name in names}


def _account(settings: Settings, site: Site) -> StoreCredentials:
    return store.account_elsewhere(settings, Installation.load(settings.installation), site)
