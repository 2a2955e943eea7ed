"""What the watch saw last, as metrics of Prometheus: rounds, verdicts, stages, sites, sizes, disk, certificates.

Served on this machine's loopback, read only. A scrape asks nobody: it gets what the last look saw, and when that was.
Labels are names of studies, members, stages and files of certificates, so there are as many as the consortium has. What
is told of a model is what hospitals' confirmations publish, all of them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from pipeline.airflow.heard import SiteHeard
from pipeline.domain import RoundStatus
from pipeline.errors import Unavailable
from pipeline.host.ports import LOOPBACK
from pipeline.joining.site_file import VERSION
from pipeline.ledger_types.state import RoundState
from pipeline.report.round_view import RoundView
from pipeline.site.settings import Settings
from pipeline.site.site import Site
from pipeline.store.usage import Usage

_UNKNOWN = "unknown"
"""A study of the ledger whose file is not here."""
_STORE_SECONDS = 3600.0
_STORE_AGAIN_SECONDS = 600.0
"""After a listing that did not come to its end."""
_SETTLES_SECONDS = 1800.0
_RUNNING = (RoundStatus.OPEN, RoundStatus.COMMITTED)


class Metrics:
    """One site's, in a registry of their own."""

    @classmethod
    def of(cls, settings: Settings) -> Metrics:
        """Those of the installation; `all` where it is of all sites."""
        site = Site.load(settings)
        return cls(site.queue if site else "all", VERSION)

    def __init__(self, site: str, version: str) -> None:
        self.registry = CollectorRegistry()
        self._told: dict[str, int] = {}
        self._store_due = 0.0
        self._table: list[tuple[str, tuple[str, ...], str]] = []

        def gauge(name: str, says: str, *labels: str) -> Gauge:
            self._table.append((f"wardround_{name}", labels, says))
            return Gauge(f"wardround_{name}", says, labels, registry=self.registry)

        def counter(name: str, says: str, *labels: str) -> Counter:
            self._table.append((f"wardround_{name}_total", labels, says))
            return Counter(f"wardround_{name}", says, labels, registry=self.registry)

        gauge("site_info", "Which site this is, and its version of Wardround.", "site", "version").labels(
            site, version
        ).set(1)
        self._looked = gauge("look_timestamp_seconds", "When the watch last looked at everything.")
        self._reached = gauge("provider_reached", "1 while ledger and store answered at the last look.")
        self._rounds = gauge("rounds", "Rounds of the ledger, by how they stand.", "study", "status")
        self._concluded = gauge(
            "study_concluded", "1 for a study that its nodes concluded, 0 while its rounds go on.", "study"
        )
        self._last = gauge("last_round", "The number of a study's last round that ended.", "study")
        self._ended = gauge("last_round_end_timestamp_seconds", "Block time of its end.", "study")
        self._finalised = gauge(
            "last_round_finalised", "1 where it ended with a model, 0 where it was aborted.", "study"
        )
        self._verdict = gauge(
            "last_round_verdict", "1 for the verdict on each hospital.", "study", "hospital", "verdict"
        )
        self._stage = gauge("last_round_stage_seconds", "Seconds of a stage's slowest actor.", "study", "stage")
        self._accuracy = gauge(
            "last_round_accuracy_ratio", "Share of all confirmed test records that its model gets right.", "study"
        )
        self._balanced = gauge(
            "last_round_balanced_accuracy_ratio",
            "Mean of its classes' sensitivities, where hospitals tell their confusion matrices.",
            "study",
        )
        self._auc = gauge("last_round_auc_ratio", "Its area under the ROC curve, where hospitals tell scores.", "study")
        self._signers = gauge("last_round_signers", "Nodes that signed its result.", "study")
        self._quarantined = gauge("quarantined_hospitals", "Hospitals in quarantine after it.", "study")
        self._verdicts = counter(
            "verdicts", "Verdicts of rounds that ended since the watch started.", "study", "hospital", "verdict"
        )
        self._heard = gauge("site_last_heard_timestamp_seconds", "When a site's worker was last heard.", "site")
        self._silent = gauge("site_silent", "1 for a site that was there, and is not now.", "site")
        self._jobs = gauge("site_steps", "Steps that a site's worker takes now.", "site")
        self._clock = gauge("site_clock_ahead_seconds", "Seconds by which a site's clock is ahead.", "site")
        self._waiting = gauge("transactions_waiting", "Transactions of this site that the chain has not mined.")
        self._disk_size = gauge("disk_size_bytes", "Of the disk with the site's folder.")
        self._disk_free = gauge("disk_free_bytes", "Free on it.")
        self._store_bytes = gauge("store_bytes", "What a member has in the locked buckets.", "member")
        self._store_objects = gauge("store_objects", "Objects that it has there, every version.", "member")
        self._certificate = gauge("certificate_end_timestamp_seconds", "When a certificate ends.", "file")

    def table(self) -> list[tuple[str, tuple[str, ...], str]]:
        """Name of each metric as Prometheus asks for it, its labels, and what it says."""
        return self._table

    def looked(self, now: float) -> None:
        """The watch has looked at everything."""
        self._looked.set(now)

    def reached(self, answered: bool) -> None:
        """Whether ledger and store answered."""
        self._reached.set(answered)

    def rounds(self, states: Iterable[RoundState], names: Mapping[str, str]) -> None:
        """All rounds of the ledger; `names` gives studies by their id there."""
        counts: dict[tuple[str, ...], int] = {}
        concluded: dict[tuple[str, ...], bool] = {}
        for state in states:
            status = "running" if state.status in _RUNNING else state.status.value
            study = names.get(state.study, _UNKNOWN)
            counts[study, status] = counts.get((study, status), 0) + 1
            concluded[(study,)] = concluded.get((study,), False) or state.concluded is not None
        _replace(self._rounds, counts)
        _replace(self._concluded, concluded)

    def lacks(self, states: Iterable[RoundState], now: float) -> list[RoundState]:
        """Of rounds that have ended each study's last one, where `last` was not told all of it.

        Hospitals confirm a model, and the provider reports on it, after the round's end.
        """
        newest = {state.study: state for state in sorted(states, key=lambda state: state.round)}
        return [
            state
            for state in newest.values()
            if self._told.get(state.study, 0) < state.round or now - _end(state) < _SETTLES_SECONDS
        ]

    def last(self, view: RoundView, study_id: str) -> None:
        """A study's last round that ended; `study_id` is the study on the ledger."""
        study = view.study or _UNKNOWN
        self._told[study_id] = view.round
        self._last.labels(study).set(view.round)
        self._ended.labels(study).set(view.time or 0)
        self._finalised.labels(study).set(view.status is RoundStatus.FINALISED)
        _replace(self._verdict, {(study, row.name, row.verdict.value): 1 for row in view.hospitals}, study)
        _replace(self._stage, {(study, stage): seconds for stage, seconds in view.seconds.items()}, study)
        _replace(self._accuracy, {} if view.accuracy is None else {(study,): view.accuracy}, study)
        told = view.measures
        for gauge, estimate in (
            (self._balanced, told.balanced_accuracy if told else None),
            (self._auc, told.auc if told else None),
        ):
            _replace(gauge, {} if estimate is None else {(study,): estimate.value}, study)
        _replace(self._signers, {} if view.record is None else {(study,): len(view.signers)}, study)
        if view.record is not None:
            # An aborted round takes nobody out of it.
            self._quarantined.labels(study).set(len(view.record.quarantined))

    def judged(self, view: RoundView) -> None:
        """Count what a round that has just ended decided."""
        for row in view.hospitals:
            self._verdicts.labels(view.study or _UNKNOWN, row.name, row.verdict.value).inc()

    def sites(self, heard: Sequence[SiteHeard], now: float) -> None:
        """What the provider heard of each site."""
        _replace(self._heard, {(one.queue,): one.heard for one in heard if one.heard is not None})
        _replace(self._silent, {(one.queue,): one.silent(now) for one in heard})
        _replace(self._jobs, {(one.queue,): one.jobs for one in heard})
        _replace(self._clock, {(one.queue,): one.clock for one in heard if one.clock is not None})

    def waiting(self, count: int) -> None:
        """Transactions without a receipt."""
        self._waiting.set(count)

    def disk(self, size: int, free: int) -> None:
        """Bytes of the disk with the site's folder."""
        self._disk_size.set(size)
        self._disk_free.set(free)

    def store_is_due(self, now: float) -> bool:
        """Whether `store` is to be told again: a listing of all objects takes a while."""
        return now >= self._store_due

    def store(self, usage: Usage, now: float) -> None:
        """What each member has in the locked buckets; what was known stays where not everything was listed."""
        self._store_due = now + (_STORE_SECONDS if usage.complete else _STORE_AGAIN_SECONDS)
        if usage.complete:
            _replace(self._store_bytes, {(share.who,): share.size for share in usage.shares})
            _replace(self._store_objects, {(share.who,): share.objects for share in usage.shares})

    def certificates(self, ends: Mapping[str, datetime]) -> None:
        """When each certificate ends, by its file below the site's folder."""
        _replace(self._certificate, {(file,): end.timestamp() for file, end in ends.items()})

    @contextmanager
    def served(self, port: int) -> Iterator[None]:
        """Answer at this port of loopback until the block ends; raises Unavailable where it is taken."""
        try:
            server, thread = start_http_server(port, LOOPBACK, self.registry)
        except OSError as error:
            raise Unavailable(
                f"telemetry: prometheus: got port {port}, which another program has ({error.strerror}); want a free one"
            ) from error
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _end(state: RoundState) -> float:
    """Block time at which a round ended."""
    end = state.finalised or state.aborted
    return 0.0 if end is None else float(end.location.time)


def _replace(gauge: Gauge, values: Mapping[tuple[str, ...], float], study: str | None = None) -> None:
    """Let a gauge have these label values alone, or of one study these alone: what is gone is not told any more."""
    for sample in next(iter(gauge.collect())).samples:
        labels = tuple(sample.labels.values())
        if labels not in values and study in (None, labels[0]):
            gauge.remove(*labels)
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
