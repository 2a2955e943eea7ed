"""Heavy imports paid once, in the scheduler, whose forked workers inherit them (10 to 40 times faster task starts)."""

from __future__ import annotations

import ctypes
import gc
import importlib
import logging
import os
import pkgutil
import signal

import pipeline

HEAVY = (
    "torch",
    "torch._dynamo",  # torch.optim loads it, with sympy, at a process's first step
    "numpy",
    "pandas",
    "sklearn.ensemble",
    "great_expectations",
    "web3",
    "boto3",
    "dvc.repo",
    "dulwich.repo",
    "safetensors.numpy",
    "jinja2",
    "nacl.public",
)

PARTS = ("ingest", "train", "mpc", "chain", "audit", "store", "roles", "layers", "datasets")
"""Our own packages that tasks use."""

_PR_SET_PDEATHSIG = 1

_log = logging.getLogger(__name__)


def preload() -> None:
    """Import what tasks need and let workers end with the scheduler.

    An import that fails is left to the task that needs it.
    """
    for name in (*HEAVY, *_own_modules()):
        try:
            importlib.import_module(name)
        except Exception:  # a task that needs the module reports the error where a person looks
            _log.warning("could not preload %s", name, exc_info=True)
    _one_thread()
    gc.collect()
    os.register_at_fork(after_in_child=_end_with_parent)


def _own_modules() -> list[str]:
    names = []
    for part in PARTS:
        found = [path for path in pipeline.__path__ if os.path.isdir(os.path.join(path, part))]
        if found:
            names += [
                module.name for module in pkgutil.walk_packages([os.path.join(found[0], part)], f"pipeline.{part}.")
            ]
    return [name for name in names if not name.endswith("__main__")]


def _one_thread() -> None:
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)


def _end_with_parent() -> None:
    """Neither a worker nor its task outlives a scheduler killed outright: the next scheduler starts the task again.

    SIGKILL, since workers inherit the scheduler's handler of SIGTERM, which does nothing in them.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
