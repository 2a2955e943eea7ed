"""A site's watch: it looks about once a minute, sends a notice for each thing that happened, once, and keeps metrics.

`python -m pipeline.watch.watch [--prometheus PORT]` watches the installation of the environment until a signal ends it.
It is a process of its own that reads ledger, store and this machine, so that no round waits for it or fails by it. What
it has seen and what still has to be sent lies in `watch.json`: a notice that nobody took is tried for a day. Metrics
are set where somebody asked for them, once notices are sent.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from pydantic import TypeAdapter, ValidationError

from pipeline.airflow import heard
from pipeline.airflow.heard import SiteHeard
from pipeline.chain.ledger import Ledger, study_id
from pipeline.domain import RoundStatus, Verdict
from pipeline.errors import Unavailable, WardroundError
from pipeline.governance import transactions
from pipeline.host import log
from pipeline.host.files import write_secret
from pipeline.ledger_types.state import RoundState
from pipeline.report.render import ENDS, REASONS
from pipeline.report.round_list import views
from pipeline.report.round_view import RoundView
from pipeline.site import certificates
from pipeline.site.consortium import Consortium
from pipeline.site.identity import STORE_CREDENTIALS, StoreCredentials
from pipeline.site.installation import Installation
from pipeline.site.settings import Settings
from pipeline.site.site import Site, SiteRole
from pipeline.store.objects import Store
from pipeline.store.usage import usage
from pipeline.study.study_files import study_names
from pipeline.watch import notices
from pipeline.watch.metrics import Metrics
from pipeline.watch.notices import Notice

SECONDS = 60
"""Between two looks."""

_LEAST_FREE_BYTES = 2 << 30
_LEAST_FREE_SHARE = 0.05
_CERTIFICATE_DAYS = 60
_UNREACHABLE_SECONDS = 600
_TRIED_SECONDS = 86_400
_MOST_WAITING = 100
_STORE_LISTING_SECONDS = 30
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Waiting:
    """A notice that nobody has taken yet, and when it arose."""

    title: str
    text: str
    since: float


@dataclass
class _Memory:
    """What the last look left."""

    ended: list[int] | None = None
    """Numbers of rounds that had ended; None before the first look, which tells nothing of what was before it."""
    concluded: list[int] | None = None
    """Numbers of rounds that had concluded their study, as they do some time after their end; None likewise."""
    quarantined: dict[str, list[str]] = field(default_factory=dict)
    """By study."""
    standing: list[str] = field(default_factory=list)
    """Names of what is so for longer, and was told when it began."""
    waiting: list[_Waiting] = field(default_factory=list)
    unreachable_since: float | None = None


_MEMORY = TypeAdapter(_Memory)


@dataclass(frozen=True)
class _Provider:
    """What the provider's ledger and store hold at a look."""

    ledger: Ledger
    store: Store
    names: Mapping[str, str]
    """Of studies, by their id on the ledger."""
    rounds: Sequence[RoundState]
    ended: Sequence[RoundView]
    """Rounds that have ended since the look before."""
    concluded: Sequence[RoundView]
    """Rounds that have concluded their study since then."""


@dataclass(frozen=True)
class _Here:
    """What this machine holds at a look."""

    disk: tuple[int, int]
    """Total and free bytes."""
    certificates: Mapping[str, x509.Certificate]
    """By file below the site's folder."""
    sites: Sequence[SiteHeard] | None
    """None where this machine hears none, or Airflow does not answer."""


class Watch:
    """What one site looks at, and tells by notices and, where somebody asked for them, by metrics.

    `disk` says total and free bytes of a folder's disk.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics | None = None,
        disk: Callable[[Path], tuple[int, int]] | None = None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._site = Site.load(settings)
        self._disk = disk or _disk
        self._file = settings.home / "watch.json"
        self._memory = _remembered(self._file)

    def look(self, now: float) -> None:
        """Look at everything, send what is new, then set the metrics; no service that does not answer raises here."""
        provider = self._reached(now)
        try:
            if provider is not None:
                self._queue(self._of_rounds(provider), now)
                self._memory.ended = _numbers(provider.rounds, _has_ended)
                self._memory.concluded = _numbers(provider.rounds, _has_concluded)
            here = self._here()
            self._queue(self._conditions(here, now), now)
        finally:
            # Before anything is sent: after a crash it is sent again, and not forgotten.
            self._save()
            self._send(now)
            self._save()
        if self._metrics is not None:
            self._measure(self._metrics, provider, here, now)

    def _queue(self, said: Iterable[Notice], now: float) -> None:
        for notice in said:
            self._memory.waiting.append(_Waiting(notice.title, notice.text, now))

    def _send(self, now: float) -> None:
        to = notices.addresses(self._settings)
        left = []
        for item in self._memory.waiting[-_MOST_WAITING:]:
            refused = notices.send(Notice(item.title, item.text), to)
            # One that took it is enough: to all again would be twice to most.
            if to and len(refused) == len(to) and now - item.since < _TRIED_SECONDS:
                left.append(item)
        self._memory.waiting = left

    def _save(self) -> None:
        try:
            write_secret(self._file, _MEMORY.dump_json(self._memory))
        except Unavailable as error:
            # That the disk is full has to be told all the same.
            _LOG.error("%s", error)

    # ------------------------------------------------------------------ rounds

    def _reached(self, now: float) -> _Provider | None:
        """What the provider holds; None while it does not answer."""
        try:
            provider = self._provider()
        except WardroundError as error:
            _LOG.warning("the provider's ledger or store: %s", error)
            self._memory.unreachable_since = self._memory.unreachable_since or now
            return None
        self._memory.unreachable_since = None
        return provider

    def _provider(self) -> _Provider:
        settings, memory = self._settings, self._memory
        installation = Installation.load(settings.installation)
        ledger = Ledger.connect(installation.rpc, Consortium.load(settings.consortium).ledger, installation.authority)
        store = Store(
            installation.store,
            StoreCredentials.load(Site.reading(settings) / STORE_CREDENTIALS),
            installation.authority,
        )
        names: dict[str, str] = {study_id(name): name for name in study_names(settings.studies)}
        rounds = ledger.rounds()
        ended = _new(rounds, _has_ended, memory.ended)
        concluded = _new(rounds, _has_concluded, memory.concluded)
        return _Provider(
            ledger,
            store,
            names,
            rounds,
            views(ended, ledger, store, names),
            views(concluded, ledger, store, names),
        )

    def _of_rounds(self, provider: _Provider) -> Iterator[Notice]:
        for view in provider.ended:
            yield from _of_round(view)
            yield from self._of_quarantine(view)
        for view in provider.concluded:
            yield Notice(
                f"study {view.study} is concluded" if view.study else "a study is concluded",
                f"With round {view.round}: {view.conclusion}. No other round of it opens."
                f" `wardround show {view.round}` says more.",
            )

    def _of_quarantine(self, view: RoundView) -> Iterator[Notice]:
        if view.record is None:
            return
        now_out = list(map(str, view.record.quarantined))
        before = self._memory.quarantined.get(view.record.study, [])
        self._memory.quarantined[view.record.study] = now_out
        for name in now_out:
            if name not in before:
                yield Notice(
                    f"{name} is in quarantine",
                    f"So says round {view.round} of study {view.study}. It takes no part until a majority of the nodes"
                    " releases it (`wardround release sign`).",
                )

    # -------------------------------------------------------------- conditions

    def _here(self) -> _Here:
        certificates: dict[str, x509.Certificate] = {}
        for path in _certificate_files(self._settings):
            with suppress(OSError, ValueError):
                name = str(path.relative_to(self._settings.home))
                certificates[name] = x509.load_pem_x509_certificate(path.read_bytes())
        return _Here(self._disk(self._settings.home), certificates, self._sites())

    def _sites(self) -> Sequence[SiteHeard] | None:
        if self._site is None or self._site.role is not SiteRole.PROVIDER:
            return None
        try:
            return heard.all_sites(self._settings)
        except WardroundError as error:
            _LOG.warning("what sites say: %s", error)
            return None

    def _conditions(self, here: _Here, now: float) -> Iterator[Notice]:
        before = self._memory.standing
        present = {
            **_disk_low(*here.disk, was_low="disk" in before),
            **_near_their_end(here.certificates, now),
            **self._unreachable(now),
            **_silent(here.sites or (), now),
        }
        self._memory.standing = sorted(present)
        yield from (notice for name, notice in sorted(present.items()) if name not in before)

    def _unreachable(self, now: float) -> Mapping[str, Notice]:
        since = self._memory.unreachable_since
        if since is None or now - since < _UNREACHABLE_SECONDS:
            return {}
        return {"provider": Notice("the provider is silent", "Its ledger or store does not answer this site.")}

    # ----------------------------------------------------------------- metrics

    def _measure(self, metrics: Metrics, provider: _Provider | None, here: _Here, now: float) -> None:
        try:
            for view in provider.ended if provider else ():
                metrics.judged(view)
            metrics.disk(*here.disk)
            metrics.certificates(
                {file: certificate.not_valid_after_utc for file, certificate in here.certificates.items()}
            )
            if here.sites is not None:
                metrics.sites(here.sites, now)
            metrics.waiting(len(transactions.all_waiting(self._settings)))
            metrics.reached(provider is not None and self._measure_provider(metrics, provider, now))
            metrics.looked(now)
        except Exception:
            # Of metrics alone: notices of the next look do not wait for them either.
            _LOG.exception("metrics")

    def _measure_provider(self, metrics: Metrics, provider: _Provider, now: float) -> bool:
        """Whether the store answered, as the ledger did before."""
        metrics.rounds(provider.rounds, provider.names)
        lacking = metrics.lacks(filter(_has_ended, provider.rounds), now)
        studies = {state.round: state.study for state in lacking}
        try:
            for view in views(lacking, provider.ledger, provider.store, provider.names):
                metrics.last(view, studies[view.round])
        except WardroundError as error:
            _LOG.warning("the provider's ledger or store: %s", error)
            return False
        if self._serves and metrics.store_is_due(now):
            metrics.store(usage(provider.store, _STORE_LISTING_SECONDS), now)
        return True

    @property
    def _serves(self) -> bool:
        """Whether the store is this site's."""
        return self._site is None or self._site.role is SiteRole.PROVIDER


def _remembered(file: Path) -> _Memory:
    """What the look before left; a file that is damaged counts as none."""
    try:
        return _MEMORY.validate_json(file.read_bytes())
    except FileNotFoundError:
        return _Memory()
    except ValidationError:
        _LOG.error("%s: got a damaged file; the watch begins anew, and tells nothing of what was before", file)
        return _Memory()


def _has_ended(state: RoundState) -> bool:
    return state.status in (RoundStatus.FINALISED, RoundStatus.ABORTED)


def _has_concluded(state: RoundState) -> bool:
    return state.concluded is not None


def _numbers(rounds: Iterable[RoundState], are: Callable[[RoundState], bool]) -> list[int]:
    return sorted(int(state.round) for state in rounds if are(state))


def _new(
    rounds: Iterable[RoundState], are: Callable[[RoundState], bool], before: Sequence[int] | None
) -> list[RoundState]:
    """Those that were not so at the look before; none where there was no look."""
    return [state for state in rounds if before is not None and are(state) and state.round not in before]


def _of_round(view: RoundView) -> Iterator[Notice]:
    what = f"round {view.round}" + (f" of study {view.study}" if view.study else "")
    if view.status is RoundStatus.ABORTED:
        reason = view.end.reason if view.end else None
        why = ENDS.get(reason, str(reason))
        blamed = f" Blamed: {', '.join(view.end.blamed)}." if view.end and view.end.blamed else ""
        yield Notice(f"{what} was aborted", f"Because: {why}.{blamed} `wardround show {view.round}` says more.")
        return
    for verdict, word in ((Verdict.REJECTED, "rejected"), (Verdict.ABSENT, "absent")):
        rows = [row for row in view.hospitals if row.verdict is verdict]
        if rows:
            names = ", ".join(
                f"{row.name} ({REASONS.get(row.reason, row.reason)})" if row.reason else row.name for row in rows
            )
            yield Notice(f"{word} in {what}", f"{names}. `wardround show {view.round}` says more.")


def _disk_low(total: int, free: int, was_low: bool) -> Mapping[str, Notice]:
    # It is low until a tenth more is free than made it so, or a notice would come with each file.
    margin = 1.1 if was_low else 1.0
    if free >= margin * min(_LEAST_FREE_BYTES, _LEAST_FREE_SHARE * total):
        return {}
    return {"disk": Notice("disk low", f"{free / 2**30:.1f} of {total / 2**30:.0f} GiB are free: make room.")}


def _near_their_end(certificates: Mapping[str, x509.Certificate], now: float) -> Mapping[str, Notice]:
    near = datetime.fromtimestamp(now, UTC) + timedelta(days=_CERTIFICATE_DAYS)
    return {
        f"certificate {certificate.serial_number:x}": Notice(
            "a certificate ends",
            f"{name} is good until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC."
            " `wardround up` gives the provider's server another one. A node's and an authority's are made"
            " anew by `wardround site init` once they were moved away; all owners then approve again.",
        )
        for name, certificate in certificates.items()
        if certificate.not_valid_after_utc < near
    }


def _silent(sites: Iterable[SiteHeard], now: float) -> Mapping[str, Notice]:
    return {
        f"silent {one.queue}": Notice(f"{one.queue} is silent", f"It was last heard {one.last(now)}.")
        for one in sites
        if one.silent(now)
    }


def _certificate_files(settings: Settings) -> list[Path]:
    site = Site.load(settings)
    own = site.folder(settings) / certificates.TLS if site else settings.provider / certificates.TLS
    return [
        settings.authority,
        own / certificates.AUTHORITY,
        own / "cert.pem",
        *settings.certificate("x").parent.glob("*"),
    ]


def _disk(folder: Path) -> tuple[int, int]:
    usage = shutil.disk_usage(folder)
    return usage.total, usage.free


def main(arguments: Sequence[str]) -> int:
    """Watch the installation of the environment until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.watch.watch")
    parser.add_argument("--prometheus", type=int, metavar="PORT", help="of loopback, at which metrics are served")
    port: int | None = parser.parse_args(arguments).prometheus
    log.begin("watch")
    try:
        settings = Settings.load()
        metrics = None if port is None else Metrics.of(settings)
        watch = Watch(settings, metrics)
        with nullcontext() if port is None or metrics is None else metrics.served(port):
            while True:
                _look(watch)
                time.sleep(SECONDS)
    except (WardroundError, OSError) as error:
        _LOG.error("%s", error)
        # The process manager starts it anew at once, and what is wrong stays so until somebody mends it.
        time.sleep(SECONDS)
        return 1


def _look(watch: Watch) -> None:
    try:
        watch.look(time.time())
    except (WardroundError, OSError) as error:
        _LOG.error("%s", error)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
