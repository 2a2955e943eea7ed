"""One party's process: started, watched, and explained when it fails."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.domain import EngineStats
from pipeline.mpc.engines.session.process_activity import ProcessActivity

GUARD = ("prlimit", "--core=0", "setpriv", "--pdeathsig", "KILL", "--")
"""No core file of secrets, and no engine that outlives the worker that started it."""

_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(1 << 24),
}
"""Freed vectors are used again instead of being given back to the system and faulted in anew: a tenth of the time."""

_TRAFFIC = re.compile(r"Data sent = ([0-9.e+-]+) MB in ~(\d+) rounds")
_SAMPLE_SECONDS = 0.05

_PEER_CAUSES: Sequence[tuple[str, str]] = (
    (
        r"handshake with P(?P<party>\d+) failed",
        (
            "party {party} was not let in or did not let this one in: a certificate differs from the pinned one or is"
            " out of date"
        ),
    ),
    (r"cannot connect from \S+ to (?P<host>\S+:\d+)", "the party at {host} did not answer; is its port open?"),
    (r"Timed out waiting for peer", "a peer never connected; is this node's port open?"),
    (r"because party (?P<party>\d+) encountered a problem", "party {party} broke off; its own log says why"),
    (r"Crash requested by program", "a check of the program failed; party 0's log says which"),
    (
        r"another party encountered a problem|closed_connection|Connection reset|End of file",
        "a peer broke off; its own log says why",
    ),
)
"""What the engine says to what it means, where a peer knows more."""

_OWN_CAUSES: Sequence[tuple[str, str]] = (
    (
        r"hash mismatch for sender (?P<party>\d+) and backup (?P<other>\d+)",
        "party {party} or party {other} deviated from the protocol or holds altered components",
    ),
    (
        r"components differ between parties (?P<party>\d+) and (?P<other>\d+)",
        "party {party} or party {other} holds altered components",
    ),
    (
        r"hash mismatch|MacCheck Failure|Invalid Commitment",
        "a party deviated from the protocol or holds altered components",
    ),
    (
        r"program differs between parties",
        "a party runs another program; compare the nodes' versions of Wardround and of MP-SPDZ",
    ),
    (r"Got to EOF when reading|failure reading", "the share file is shorter than the program expects"),
    (r"No space left on device|failed writing", "the working folder is full"),
    (r"Binding to socket on \S+:(?P<port>\d+) failed", "port {port} is taken by another process"),
)
"""What the engine says to what it means, where this party knows best."""


@dataclass(frozen=True)
class Ended:
    """How the process ended."""

    code: int | None
    """None when it was ended at the deadline or on a peer's word."""
    suspended: bool
    """Whether it stood still then, by somebody's signal."""
    stats: EngineStats


@dataclass(frozen=True)
class Cause:
    """Why it failed."""

    text: str
    peer_knows_more: bool


@dataclass(frozen=True)
class RunLimits:
    """What ends a process that does not end by itself."""

    end: float
    """time.monotonic."""
    cancelled: threading.Event
    patience_seconds: float
    """For how long it may be suspended."""


def run(command: Sequence[str], folder: Path, log: Path, limits: RunLimits, activity: ProcessActivity) -> Ended:
    """Run until it ends or a limit is reached; the process and its children are gone on return."""
    start = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        process = subprocess.Popen(
            [*GUARD, *command],
            cwd=folder,
            env={"PATH": os.defpath, **_KEEP_MEMORY},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    activity.pid = process.pid
    peak = 0
    exited = False
    suspended_since = None
    try:
        handle = os.pidfd_open(process.pid)
        try:
            while not exited and not limits.cancelled.is_set() and (left := limits.end - time.monotonic()) > 0:
                # rusage counts the worker's own memory before the program was loaded: ask the process itself, while it
                # lives
                suspended, memory = _state(process.pid)
                peak = memory or peak
                suspended_since = (suspended_since or time.monotonic()) if suspended else None
                if suspended_since is not None and time.monotonic() - suspended_since > limits.patience_seconds:
                    break
                exited = bool(select.select([handle], [], [], min(left, _SAMPLE_SECONDS))[0])
        finally:
            os.close(handle)
    finally:
        activity.pid = None
        # not yet reaped, so the group cannot be anybody else's
        os.killpg(process.pid, signal.SIGKILL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    traffic = _TRAFFIC.search(log.read_text(errors="replace"))
    stats = EngineStats(
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        wall_seconds=time.monotonic() - start,
        bytes_sent=round(float(traffic[1]) * 1e6) if traffic else 0,
        rss_bytes=peak,
        rounds=int(traffic[2]) if traffic else None,
    )
    return Ended(process.returncode if exited else None, suspended_since is not None and not exited, stats)


def cause(ended: Ended, log: Path) -> Cause:
    """Why a run without exit code 0 failed, as far as the engine's own words tell."""
    text = log.read_text(errors="replace")
    if ended.code is not None and ended.code < 0:
        return Cause(f"the engine was killed by signal {-ended.code}", peer_knows_more=False)
    if ended.suspended:
        return Cause("the engine was suspended by a signal and did not end in time", peer_knows_more=False)
    if own_cause := _meaning(text, _OWN_CAUSES):
        return Cause(own_cause, peer_knows_more=False)
    if peer_cause := _meaning(text, _PEER_CAUSES):
        return Cause(peer_cause, peer_knows_more=True)
    if ended.code is None:
        return Cause(
            f"no end within {ended.stats.wall_seconds:.0f} s: a peer is stopped, slow or cut off", peer_knows_more=True
        )
    return Cause(f"the engine ended with status {ended.code}: {_last_line(text)}", peer_knows_more=True)


def _meaning(text: str, causes: Sequence[tuple[str, str]]) -> str | None:
    for pattern, meaning in causes:
        if match := re.search(pattern, text):
            return meaning.format(**match.groupdict())
    return None


def _last_line(text: str) -> str:
    return ([line.strip() for line in text.splitlines() if line.strip()] or ["no message"])[-1][:300]


def _state(pid: int) -> tuple[bool, int]:
    """Whether a signal holds the process, and its largest resident size so far in bytes, 0 when it ended."""
    text = Path(f"/proc/{pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", text)
    return bool(re.search(r"State:\s+T", text)), int(peak[1]) * 1024 if peak else 0
