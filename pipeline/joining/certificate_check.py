"""Whether the certificate on a card is what the card says: a node's own, or the provider's authority; good now."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from pipeline.domain import Sha256
from pipeline.errors import EvidenceRejected, Refused
from pipeline.joining.card import Card
from pipeline.site.site import SiteRole


def check_certificate(card: Card, now: float) -> None:
    """Raise EvidenceRejected for a certificate that does not fit its card, Refused for one that is not good now."""
    if card.certificate is None:
        return
    certificate = _certificate(card)
    queue = card.site.queue
    authority = card.site.role is SiteRole.PROVIDER
    if _may_sign_others(certificate) is not authority:
        wanted = "an authority, which may sign others" if authority else "one that signs nobody else"
        raise EvidenceRejected(f"{queue}: got another kind of certificate than its card says, want {wanted}")
    if not authority and card.hostname not in _hosts(certificate):
        raise EvidenceRejected(
            f"{queue}: got a certificate for {', '.join(sorted(_hosts(certificate))) or 'no host'}, want one for"
            f" {card.hostname}, where its card says that it answers: let it make both anew by `wardround site init`"
        )
    today = datetime.fromtimestamp(now, UTC)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= today <= end:
        raise Refused(
            f"{queue}: got a certificate that is good from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, and"
            f" this machine's clock says {today:%Y-%m-%d %H:%M}: mend the clock if it is wrong, else let that site move"
            " its certificate away, give `wardround site init` again and hand its new card over"
        )


def certificate_fingerprint(card: Card) -> Sha256:
    """SHA-256 of the card's certificate in DER; raises EvidenceRejected."""
    return Sha256(_certificate(card).fingerprint(hashes.SHA256()).hex())


def _certificate(card: Card) -> x509.Certificate:
    pem = (card.certificate or "").encode()
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        alone = certificate.public_bytes(Encoding.PEM) == pem
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise EvidenceRejected(
            f"{card.site.queue}: got a certificate that cannot be read or that another one signed"
            f" ({type(error).__name__}), want one in PEM that signs itself, as `wardround site init` makes it"
        ) from error
    if not alone:
        raise EvidenceRejected(f"{card.site.queue}: got more than one certificate in PEM, want that alone")
    return certificate


def _may_sign_others(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return True


def _hosts(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return set()
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return {*names.get_values_for_type(x509.DNSName), *addresses}
