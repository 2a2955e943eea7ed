"""Where a site's notices go: addresses of apprise (mail, chat, webhook), each a secret that never prints."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import Misconfigured, Refused
from pipeline.host.files import locked, write_secret
from pipeline.host.secret import Secret
from pipeline.site.settings import Settings
from pipeline.site.site import Site

if TYPE_CHECKING:
    from apprise import NotifyBase


@dataclass(frozen=True)
class Notice:
    """What happened, in a line, and what to do."""

    title: str
    text: str


def addresses_file(settings: Settings) -> Path:
    """The site's own addresses, one a line; no such file where nobody wants notices."""
    return settings.home / "secrets" / "notices"


def addresses(settings: Settings) -> list[Secret]:
    """The site's own; raises Misconfigured when others can read the file."""
    path = addresses_file(settings)
    lines = Secret.read(path).reveal().splitlines() if path.exists() else []
    return [Secret(line.strip()) for line in lines if line.strip()]


def add(address: Secret, settings: Settings) -> str:
    """Take one more address; what kind it is.

    Raises Misconfigured for one that apprise does not know, Refused at an auditor's site, where nothing runs.
    """
    site = Site.load(settings)
    if site is not None and not site.works:
        raise Refused(f"{site.queue}: got an auditor's site, where nothing runs that could send a notice")
    kind = kind_of(address)
    with locked(settings.up_lock):
        _write([*addresses(settings), address], settings)
    return kind


def remove(number: int, settings: Settings) -> str:
    """Forget an address by its number, from 1; what kind it was. Raises Misconfigured where there is none."""
    with locked(settings.up_lock):
        present = addresses(settings)
        if not 1 <= number <= len(present):
            raise Misconfigured(f"{number}: got {len(present)} addresses, want a number that the list shows")
        gone = present.pop(number - 1)
        _write(present, settings)
    return kind_of(gone)


def kind_of(address: Secret) -> str:
    """The service that an address is of, in apprise's words; raises Misconfigured."""
    return str(_service(address).service_name)


def send(notice: Notice, to: Sequence[Secret]) -> list[int]:
    """Send it to all of them; the numbers of those that did not take it, from 1."""
    with _in_silence():
        return [number for number, address in enumerate(to, 1) if not _taken(notice, address)]


def _taken(notice: Notice, address: Secret) -> bool:
    try:
        return bool(_service(address).notify(title=f"Wardround: {notice.title}", body=notice.text))
    except Exception:
        # Whatever a service's code raises may have the address in it.
        return False


def _service(address: Secret) -> NotifyBase:
    from apprise import Apprise

    with _in_silence():
        service: Any = Apprise.instantiate(address.reveal().decode(errors="replace"), suppress_exceptions=True)
    if service is None:
        raise Misconfigured(
            "got no address that apprise knows, want one like mailtos://, slack://, matrixs:// or json://HOST: its"
            " pages (https://appriseit.com) list them; it is not repeated here, since it may hold a password"
        )
    return service  # type: ignore[no-any-return]


@contextmanager
def _in_silence() -> Iterator[None]:
    """What apprise logs may hold a part of an address."""
    log = logging.getLogger("apprise")
    before = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = before


def _write(wanted: Sequence[Secret], settings: Settings) -> None:
    if not wanted:
        addresses_file(settings).unlink(missing_ok=True)
        return
    write_secret(addresses_file(settings), b"".join(address.reveal() + b"\n" for address in wanted))
