"""One module per job; each has a `router`."""

from __future__ import annotations

from plugins.console.pages import (
    accuracy,
    baselines,
    check,
    evidence,
    experiments,
    hospital,
    log,
    overview,
    people,
    poisoning,
    predict,
    profile,
    register,
    rounds,
    start,
    studies,
    which_model,
)

ROUTERS = (
    *(overview.router, rounds.router, studies.router, hospital.router, check.router, predict.router),
    *(register.router, people.router, profile.router, log.router),
    *(
        accuracy.router,
        poisoning.router,
        baselines.router,
        evidence.router,
        which_model.router,
        start.router,
        experiments.router,
    ),
)
