"""What whoever forks tasks loads once for all of them: by the steps that they take."""

from __future__ import annotations

import pytest

from pipeline.airflow.preload import HEAVY, heavy, steps_of
from pipeline.round_steps import Actor


@pytest.mark.parametrize(
    ("actor", "loads", "spares"),
    [
        (Actor.HOSPITAL, {"torch", "great_expectations", "dvc.repo"}, {"matplotlib.figure", "jinja2"}),
        (Actor.NODE, {"numpy", "web3"}, {"torch", "great_expectations", "dvc.repo", "networkx", "matplotlib.figure"}),
        (Actor.PROVIDER, {"dvc.repo", "networkx", "matplotlib.figure"}, {"torch", "great_expectations"}),
    ],
)
def test_a_worker_loads_what_its_own_actor_s_steps_import(actor: Actor, loads: set[str], spares: set[str]) -> None:
    names = set(heavy(steps_of([actor])))
    assert names >= loads
    assert not names & spares


def test_whoever_forks_all_actors_tasks_loads_everything() -> None:
    assert tuple(heavy(steps_of(Actor))) == HEAVY
