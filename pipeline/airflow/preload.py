"""Heavy imports, and what is read once a process, paid by who forks tasks: the scheduler, or a site's worker.

A worker forks the steps of one actor, and loads what these import: no node trains, and no hospital writes a report.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import Iterable

import grimp

from pipeline.round_steps import ROUND, Actor
from pipeline.site.identity import StoreCredentials
from pipeline.store.objects import Store
from pipeline.study.code_digest import closure, code_digest

_TASKS = (
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.trigger_dagrun",
)
"""What every task's process needs, whatever its step."""

HEAVY = (
    "torch",
    "torch._dynamo",  # torch.optim loads it, with sympy, at a process's first step
    "numpy",
    "pandas",
    "great_expectations",
    "web3",
    "boto3",
    "dvc.repo",
    "dvc.repo.datasets",  # with the rest, what opening a repository loads
    "dvc.repo.plots",
    "dvc.lock",
    "dvc.rwlock",
    "dvc.scm",
    "dvc.data_cloud",
    "dvc.dirs",
    "configobj",
    "dulwich.repo",
    "dulwich.worktree",
    "networkx",  # DVC's graph of stages; with the next, half of the processor time of recording a round
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "s3fs",
    "safetensors.numpy",
    "jinja2",
    "nacl.public",
)
"""Others' modules that take long; for the actors whose steps import the package, however far away."""

_WITH = {"dulwich": "dvc", "configobj": "dvc", "networkx": "dvc", "s3fs": "dvc"}
"""Package to the one that loads it."""

_PR_SET_PDEATHSIG = 1

_log = logging.getLogger(__name__)


def preload(actors: Iterable[Actor] = Actor) -> None:
    """Import what these actors' tasks need and let workers end with the scheduler.

    An import that fails is left to the task that needs it.
    """
    steps = steps_of(actors)
    for name in (*heavy(steps), *_TASKS, *sorted(closure([*steps, "pipeline.study.study_files"]))):
        try:
            importlib.import_module(name)
        except Exception:  # a task that needs the module reports the error where a person looks
            _log.warning("could not preload %s", name, exc_info=True)
    _one_thread()
    code_digest()
    # Reading the description of S3 takes ten times as long as making a client.
    Store("http://127.0.0.1", StoreCredentials.generate("nobody"))
    gc.collect()  # Airflow freezes what is left before it forks
    os.register_at_fork(after_in_child=_end_with_parent)


def steps_of(actors: Iterable[Actor]) -> set[str]:
    """The modules in which these actors' steps begin."""
    taken = set(actors)
    return {"pipeline.round.steps", *(step.function.partition(":")[0] for step in ROUND if step.actor in taken)}


def heavy(modules: Iterable[str]) -> list[str]:
    """Others' modules to load for ours: those whose package they import, however far away, as they run."""
    graph = grimp.build_graph(
        "pipeline", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )
    imported = set().union(*(graph.find_upstream_modules(module) for module in modules))
    return [name for name in HEAVY if _package(name) in imported]


def _package(name: str) -> str:
    package = name.partition(".")[0]
    return _WITH.get(package, package)


def _one_thread() -> None:
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


def _end_with_parent() -> None:
    """Let no worker and no task outlive a scheduler that is killed outright: the next one starts the task again.

    By SIGKILL, since workers inherit the scheduler's handler of SIGTERM, which does nothing in them.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
