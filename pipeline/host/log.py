"""How our own processes write their logs: lines for people or, where the installation asks for it, JSON.

A line of JSON has `timestamp`, `level`, `logger`, `service`, `site` and `event`, which is the message; and within a
step `study`, `round` and `step`. Airflow's processes name theirs the same, and take these words of ours into their
lines. What is bound here stands in each line: never a secret, nothing of a patient's.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import AbstractContextManager
from typing import Any

import structlog

JSON = "WARDROUND_JSON_LOGS"
"""Environment variable that asks for JSON: 1."""
SITE = "WARDROUND_SITE"
"""Environment variable with the site that a service is of."""

_LINES = "%(levelname)s %(name)s: %(message)s"


def begin(service: str, level: int = logging.INFO) -> None:
    """Let this process, a service of that name, write its log to its standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter() if os.environ.get(JSON) == "1" else logging.Formatter(_LINES))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # An HTTP client's line per request would drown what matters.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service, site=os.environ.get(SITE, ""))


def about(**words: Any) -> AbstractContextManager[None]:
    """Say these words in each line within the block: `site`, `study`, `round`, `step`."""
    return structlog.contextvars.bound_contextvars(**words)


def _formatter() -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
    )
