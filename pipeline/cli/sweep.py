"""All rounds audited at once, by as many processes as the machine has cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from pipeline.audit.audit_all import Sweep
from pipeline.audit.audit_round import AuditReport
from pipeline.audit.rollback import refuse_forgotten
from pipeline.domain import RoundId
from pipeline.site.settings import Settings
from pipeline.views.observer import Observer

_FEW = 16
"""Rounds that one process audits sooner than others would have started."""

_sweep: Sweep


def audit_all(settings: Settings) -> Iterator[tuple[AuditReport, int]]:
    """Audit every round that has ended, in the order of opening; yields each audit with the number of those rounds.

    Raises Refused when some are forgotten.
    """
    observer = Observer.open(settings)
    refuse_forgotten(observer.ledger, observer.store)
    sweep = Sweep(observer.ledger, observer.store)
    rounds = sweep.rounds
    if len(rounds) <= _FEW:
        for number in rounds:
            yield sweep.audit(number), len(rounds)
        return
    # Started afresh: this process holds open connections.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, initializer=_start, initargs=(settings,)) as pool:
        for report in pool.map(_audit, rounds, chunksize=_FEW):
            yield report, len(rounds)


def _start(settings: Settings) -> None:
    global _sweep
    observer = Observer.open(settings)
    _sweep = Sweep(observer.ledger, observer.store)


def _audit(round_id: RoundId) -> AuditReport:
    return _sweep.audit(round_id)
