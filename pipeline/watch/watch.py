"""A site's watch: it looks about once a minute, sends a notice for each thing that happened, once, and keeps metrics.

`python -m pipeline.watch.watch [--prometheus PORT]` watches the installation of the environment until a signal ends it.
It is a process of its own that reads ledger, store and this machine, so that no round waits for it or fails by it. What
it has seen and what still has to be sent lies in `watch.json`: a notice that nobody took is tried for a day.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from pipeline.airflow import heard
from pipeline.chain.ledger import Ledger, study_id
from pipeline.domain import RoundStatus, Verdict
from pipeline.errors import Unavailable, WardroundError
from pipeline.governance import transactions
from pipeline.host import log
from pipeline.host.files import write_secret
from pipeline.joining.site_file import VERSION
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


@dataclass
class _Memory:
    """What the last look left."""

    ended: list[int] | None = None
    """Numbers of rounds that had ended; None before the first look, which tells nothing of what was before it."""
    quarantined: dict[str, list[str]] = field(default_factory=dict)
    """By study."""
    standing: list[str] = field(default_factory=list)
    """Names of what is so for longer, and was told when it began."""
    waiting: list[dict[str, Any]] = field(default_factory=list)
    unreachable_since: float | None = None


class Watch:
    """What one site looks at, and tells by notices and metrics; `disk` says total and free bytes of a folder's disk."""

    def __init__(self, settings: Settings, disk: Callable[[Path], tuple[int, int]] | None = None) -> None:
        self._settings = settings
        self._site = Site.load(settings)
        self.metrics = Metrics(self._site.queue if self._site else "all", VERSION)
        self._disk = disk or _disk
        self._file = settings.home / "watch.json"
        self._memory = _Memory(**json.loads(self._file.read_bytes())) if self._file.exists() else _Memory()

    def look(self, now: float) -> None:
        """Look at everything, and send what is new; nothing of it raises for a service that does not answer."""
        said = [*self._rounds(now), *self._conditions(now)]
        self.metrics.waiting(len(transactions.all_waiting(self._settings)))
        self.metrics.looked(now)
        memory = self._memory
        memory.waiting += [{"title": notice.title, "text": notice.text, "since": now} for notice in said]
        # Before anything is sent: after a crash it is sent again, and not forgotten.
        self._save()
        self._send(now)
        self._save()

    def _send(self, now: float) -> None:
        to = notices.addresses(self._settings)
        left = []
        for item in self._memory.waiting[-_MOST_WAITING:]:
            refused = notices.send(Notice(item["title"], item["text"]), to)
            # One that took it is enough: to all again would be twice to most.
            if to and len(refused) == len(to) and now - item["since"] < _TRIED_SECONDS:
                left.append(item)
        self._memory.waiting = left

    def _save(self) -> None:
        try:
            write_secret(self._file, json.dumps(vars(self._memory)).encode())
        except Unavailable as error:
            # That the disk is full has to be told all the same.
            _LOG.error("%s", error)

    # ------------------------------------------------------------------ rounds

    def _rounds(self, now: float) -> Iterator[Notice]:
        try:
            ended = self._newly_ended(now)
        except WardroundError as error:
            _LOG.warning("the provider's ledger or store: %s", error)
            self.metrics.reached(False)
            self._memory.unreachable_since = self._memory.unreachable_since or now
            return
        self.metrics.reached(True)
        self._memory.unreachable_since = None
        for view in ended:
            yield from _of_round(view)
            yield from self._of_quarantine(view)

    def _newly_ended(self, now: float) -> list[RoundView]:
        settings = self._settings
        installation = Installation.load(settings.installation)
        ledger = Ledger.connect(installation.rpc, Consortium.load(settings.consortium).ledger, installation.authority)
        known = ledger.rounds()
        states = [state for state in known if state.status in (RoundStatus.FINALISED, RoundStatus.ABORTED)]
        before = self._memory.ended
        after = sorted(int(state.round) for state in states)
        fresh = [state for state in states if before is not None and state.round not in before]
        names: dict[str, str] = {study_id(name): name for name in study_names(settings.studies)}
        store = Store(
            installation.store,
            StoreCredentials.load(Site.reading(settings) / STORE_CREDENTIALS),
            installation.authority,
        )
        seen = views(fresh, ledger, store, names)
        self._memory.ended = after
        self.metrics.rounds(known, names)
        for state in self.metrics.lacks(states, now):
            (view,) = [view for view in seen if view.round == state.round] or views([state], ledger, store, names)
            self.metrics.last(view, state.study)
        for view in seen:
            self.metrics.judged(view)
        if self._serves and self.metrics.store_is_old(now):
            self.metrics.store(usage(store, _STORE_LISTING_SECONDS).shares, now)
        return seen

    @property
    def _serves(self) -> bool:
        """Whether the store is this site's."""
        return self._site is None or self._site.role is SiteRole.PROVIDER

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

    def _conditions(self, now: float) -> Iterator[Notice]:
        present = {**self._disk_low(), **self._certificates(now), **self._provider(now), **self._silent(now)}
        before = self._memory.standing
        self._memory.standing = sorted(present)
        yield from (notice for name, notice in sorted(present.items()) if name not in before)

    def _disk_low(self) -> Mapping[str, Notice]:
        total, free = self._disk(self._settings.home)
        self.metrics.disk(total, free)
        # It is low until a tenth more is free than made it so, or a notice would come with each file.
        margin = 1.1 if "disk" in self._memory.standing else 1.0
        if free >= margin * min(_LEAST_FREE_BYTES, _LEAST_FREE_SHARE * total):
            return {}
        return {"disk": Notice("disk low", f"{free / 2**30:.1f} of {total / 2**30:.0f} GiB are free: make room.")}

    def _certificates(self, now: float) -> Mapping[str, Notice]:
        near: dict[str, Notice] = {}
        ends: dict[str, datetime] = {}
        for path in _certificate_files(self._settings):
            with suppress(OSError, ValueError):
                certificate = x509.load_pem_x509_certificate(path.read_bytes())
                name = str(path.relative_to(self._settings.home))
                end = ends[name] = certificate.not_valid_after_utc
                if end - datetime.fromtimestamp(now, UTC) < timedelta(days=_CERTIFICATE_DAYS):
                    near[f"certificate {certificate.serial_number:x}"] = Notice(
                        "a certificate ends",
                        f"{name} is good until {end:%Y-%m-%d %H:%M} UTC."
                        " `wardround up` gives the provider's server another one. A node's and an authority's are made"
                        " anew by `wardround site init` once they were moved away; all owners then approve again.",
                    )
        self.metrics.certificates(ends)
        return near

    def _provider(self, now: float) -> Mapping[str, Notice]:
        since = self._memory.unreachable_since
        if since is None or now - since < _UNREACHABLE_SECONDS:
            return {}
        return {"provider": Notice("the provider is silent", "Its ledger or store does not answer this site.")}

    def _silent(self, now: float) -> Mapping[str, Notice]:
        if self._site is None or self._site.role is not SiteRole.PROVIDER:
            return {}
        try:
            sites = heard.all_sites(self._settings)
        except WardroundError as error:
            _LOG.warning("what sites say: %s", error)
            return {}
        self.metrics.sites(sites, now)
        return {
            f"silent {one.queue}": Notice(f"{one.queue} is silent", f"It was last heard {one.last(now)}.")
            for one in sites
            if one.silent(now)
        }


def _of_round(view: RoundView) -> Iterator[Notice]:
    what = f"round {view.round}" + (f" of study {view.study}" if view.study else "")
    if view.status is RoundStatus.ABORTED:
        why = "its deadline passed" if view.end is None or view.end.reason is None else view.end.reason
        blamed = f" Blamed: {', '.join(view.end.blamed)}." if view.end and view.end.blamed else ""
        yield Notice(f"{what} was aborted", f"Because: {why}.{blamed} `wardround show {view.round}` says more.")
        return
    for verdict, word in ((Verdict.REJECTED, "rejected"), (Verdict.ABSENT, "absent")):
        rows = [row for row in view.hospitals if row.verdict is verdict]
        if rows:
            names = ", ".join(f"{row.name} ({row.reason})" if row.reason else row.name for row in rows)
            yield Notice(f"{word} in {what}", f"{names}. `wardround show {view.round}` says more.")


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
    watch = Watch(Settings.load())
    try:
        with nullcontext() if port is None else watch.metrics.served(port):
            while True:
                _look(watch)
                time.sleep(SECONDS)
    except Unavailable as error:
        _LOG.error("%s", error)
        return 1


def _look(watch: Watch) -> None:
    try:
        watch.look(time.time())
    except (WardroundError, OSError) as error:
        _LOG.error("%s", error)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
