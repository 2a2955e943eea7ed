"""Classical models per hospital and pooled, and the study's network pooled and federated.

`python -m benchmarks.baselines STUDY`.

The federated network comes from the round's own functions in plain integers (training, rule, trimmed mean), without
engine, chain or Airflow, all hospitals honest. Of every seed each part is made anew: the deal to the hospitals, which
records test (unless the publisher says it), first model and batches. Pooled data are what no consortium has; they are
the yardstick.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from pipeline.datasets import Records, Samples
from pipeline.domain import HospitalName, RoundId
from pipeline.host import program
from pipeline.host.files import write_atomic
from pipeline.host.secret import Secret
from pipeline.replay.plain_rounds import PlainMember, play_plain
from pipeline.setup.partition import TEST_SHARE, deal
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.train.alone import trained_alone
from pipeline.train.baselines import Score, classical, score_classical, score_network

RESULTS = Path(__file__).parent / "results" / "baselines"

Scores = dict[tuple[str, str, str], Score]
"""Where it was trained (hospital, pooled, federated), model, and whose records tested it, to the score."""


def measure(study: Study, records: tuple[Records, Records], rounds: int) -> tuple[Scores, int, int]:
    """All scores of one seed, and how many verdicts on honest hospitals there were and how many rejected one."""
    dealt = deal(study, *_split(study, *records))
    trains = {name: study.source.samples(train) for name, (train, _) in dealt.items()}
    tests = {name: study.source.samples(test) for name, (_, test) in dealt.items()}
    everything = _together(trains.values())
    all_tests = _together(tests.values())
    scores: Scores = {}
    for name, train in trains.items():
        for model, fitted in classical(train, study.seed).items():
            scores["hospital", model, name] = score_classical(fitted, tests[name])
    for model, fitted in classical(everything, study.seed).items():
        scores["pooled", model, "all"] = score_classical(fitted, all_tests)
        scores |= {("pooled", model, name): score_classical(fitted, test) for name, test in tests.items()}

    numbers = [RoundId(number) for number in range(1, rounds + 1)]
    members = {name: PlainMember.of(train, _secret(study, name)) for name, train in trains.items()}
    played = play_plain(study, members, numbers)
    # By as many steps as all hospitals take together.
    pooled = trained_alone(study, everything, rounds, HospitalName("pooled"), effort=len(study.hospitals))
    for where, vector in (("federated", played[-1].model), ("pooled", pooled)):
        scores[where, "network", "all"] = score_network(study, vector, all_tests)
        scores |= {(where, "network", name): score_network(study, vector, test) for name, test in tests.items()}
    verdicts = [bit for played_round in played for bit in played_round.accepted.values()]
    return scores, len(verdicts), verdicts.count(False)


def _split(study: Study, train: Records, test: Records) -> tuple[Records, Records]:
    """Test records of this seed, one of TEST_SHARE of each class of each site, unless the publisher chose them."""
    if study.source.published_split:
        return train, test
    everything = _all_records(train, test)
    rng = np.random.Generator(np.random.PCG64(study.seed))
    sites = np.array([str(identity).rsplit("-", 1)[0] for identity in everything.ids])
    chosen = np.zeros(len(everything), dtype=bool)
    for site in np.unique(sites):
        for label in np.unique(everything.labels):
            chosen[rng.permutation(np.flatnonzero((sites == site) & (everything.labels == label)))[::TEST_SHARE]] = True
    return everything[np.flatnonzero(~chosen)], everything[np.flatnonzero(chosen)]


def summarise(study: Study, rounds: int, measured: Mapping[int, tuple[Scores, int, int]]) -> dict[str, Any]:
    """Means over the seeds, and in points of a hundred how far pooled and federated training differ.

    Docs, console and `dvc metrics` show them.
    """
    seeds = [seed_scores for seed_scores, _, _ in measured.values()]

    def mean(where: str, model: str, who: str) -> dict[str, float]:
        scores = [seed_scores[where, model, who] for seed_scores in seeds]
        spread = statistics.stdev(score.accuracy for score in scores) if len(scores) > 1 else 0.0
        return {
            "accuracy": round(statistics.mean(score.accuracy for score in scores), 4),
            "deviation": round(spread, 4),
            "balanced": round(statistics.mean(score.balanced for score in scores), 4),
        }

    keys = list(dict.fromkeys(key for seed_scores in seeds for key in seed_scores))
    result: dict[str, Any] = {
        "study": study.name,
        "dataset": study.source.title,
        "seeds": list(measured),
        "rounds": rounds,
    }
    for where, model, who in keys:
        result.setdefault(where, {}).setdefault(model, {})[who] = mean(where, model, who)
    # Each hospital's own model on its own patients, weighted as the pooled figure is: by test records.
    for scores in result["hospital"].values():
        weights = {
            who: statistics.mean(seed_scores["hospital", "svm", who].tested for seed_scores in seeds) for who in scores
        }
        total = sum(weights.values())
        values = ("accuracy", "balanced")
        scores["all"] = {
            value: round(sum(scores[who][value] * weights[who] for who in weights) / total, 4) for value in values
        }
    gap = result["pooled"]["network"]["all"]["accuracy"] - result["federated"]["network"]["all"]["accuracy"]
    verdicts, rejections = (
        sum(numbers)
        for numbers in zip(*((judged, rejecting) for _, judged, rejecting in measured.values()), strict=True)
    )
    return result | {
        "points_below_pooled": round(100 * gap, 2),
        "honest_verdicts": verdicts,
        "honest_rejected": rejections,
    }


def table(result: Mapping[str, Any]) -> str:
    """One line per model and place of training, as CSV for `dvc plots`."""
    lines = ["name,model,trained,accuracy"]
    for where in ("hospital", "pooled", "federated"):
        lines += [
            f"{model.replace('_', ' ')} ({where}),{model},{where},{scores['all']['accuracy']}"
            for model, scores in result[where].items()
        ]
    return "\n".join(lines) + "\n"


def main(
    study: Annotated[str, typer.Argument(help="Name of a study whose demonstration data lie on this machine.")],
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the federated network.")] = 15,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 1.")] = 5,
) -> None:
    """Measure, print and write results/baselines/STUDY.json and .csv."""
    settings = Settings.load()
    base = Study.load(settings.studies / f"{study}.yaml")
    records = base.source.load(settings.searched)
    measured = {seed: measure(base.model_copy(update={"seed": seed}), records, rounds) for seed in range(1, seeds + 1)}
    result = summarise(base, rounds, measured)
    write_atomic(RESULTS / f"{study}.json", (json.dumps(result, indent=2) + "\n").encode())
    write_atomic(RESULTS / f"{study}.csv", table(result).encode())
    typer.echo(json.dumps({key: value for key, value in result.items() if not isinstance(value, dict)}, indent=2))
    typer.echo(table(result))


def _secret(study: Study, name: HospitalName) -> Secret:
    # Of a rehearsal: it guards nothing.
    return Secret(sha256(f"{study.name} {study.seed} {name}".encode()).digest())


def _together(parts: Iterable[Samples]) -> Samples:
    parts = list(parts)
    return Samples(np.concatenate([part.inputs for part in parts]), np.concatenate([part.labels for part in parts]))


def _all_records(*parts: Records) -> Records:
    return Records(*(np.concatenate([getattr(part, field) for part in parts]) for field in ("ids", "values", "labels")))


if __name__ == "__main__":
    program.run(main)
