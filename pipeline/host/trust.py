"""Who vouches for a service: one authority where the installation names one, else those of this machine.

`authority` is a PEM file everywhere, None for the machine's own authorities.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from urllib3.util.ssl_match_hostname import CertificateError

from pipeline.errors import Misconfigured


def context(authority: Path | None) -> ssl.SSLContext:
    """How a client checks certificates; raises Misconfigured when the authority's file is missing or holds none."""
    checked(authority)
    return ssl.create_default_context(cafile=authority)


def checked(authority: Path | None) -> str | None:
    """The authority's file as clients take it; raises Misconfigured when it is missing or holds no certificate.

    Clients would say of such a file that the service does not answer.
    """
    if authority is None:
        return None
    try:
        ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(
            f"{authority}: got {error.strerror or error}, want the certificate of the provider's authority; join again"
            " with the provider's invitation"
        ) from error
    return str(authority)


def bad_certificate(error: BaseException) -> str | None:
    """What is wrong with a service's certificate, and what to do; None when `error` is no refusal of one."""
    for each in _causes(error):
        if isinstance(each, CertificateError):
            return f"its certificate does not hold: {each}; {_OTHERS_ADVICE}"
        if isinstance(each, ssl.SSLCertVerificationError):
            return (
                f"its certificate does not hold: {each.verify_message}; {_ADVICE.get(each.verify_code, _OTHERS_ADVICE)}"
            )
    return None


_OTHERS_ADVICE = (
    "want one of the authority that installation.yaml names: call the provider, and join again only with an invitation"
    " whose words you compared"
)
_EXPIRED, _NOT_YET = 10, 9
_ADVICE = {
    _EXPIRED: "the provider renews it (`wardround up` there), unless this machine's clock is wrong",
    _NOT_YET: "set the clock that is wrong, by NTP",
}
"""By OpenSSL's number of what it met with (X509_V_ERR_...)."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what it was raised from or holds: clients wrap one another's errors in either way."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop(0)
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
