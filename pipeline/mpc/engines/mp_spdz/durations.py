"""How long a run may take: the last one of the same program on this machine says what is usual."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pipeline.host.files import write_atomic

_TIMES = 10.0
_AT_LEAST_SECONDS = 60.0


def limit(bytecode: Path) -> float:
    """Wall seconds after which a run of the program is given up; no limit for its first run."""
    with contextlib.suppress(OSError, ValueError):
        return max(_TIMES * float(_file(bytecode).read_text()), _AT_LEAST_SECONDS)
    return float("inf")


def note(bytecode: Path, seconds: float) -> None:
    """Keep what a run took, in wall seconds."""
    with contextlib.suppress(OSError):
        write_atomic(_file(bytecode), f"{seconds:.3f}\n".encode())


def _file(bytecode: Path) -> Path:
    return bytecode.with_suffix(".seconds")
