"""What the command line promises to programs that read it."""

from __future__ import annotations

LISTED_ROUND = (
    "round",
    "study",
    "status",
    "engine",
    "protocol",
    "verdicts",
    "model_sha256",
    "tx",
    "seconds",
    "accuracy",
    "concluded",
    "trouble",
)
"""The fields of an entry of `wardround rounds --json`, in their order."""
