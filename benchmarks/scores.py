"""What histograms of scores tell: how near their AUC is to that of the scores, and whom they rule out.

`python -m benchmarks.scores`. The rounds are those of `benchmarks/baselines.py`, in plain integers.

Somebody who holds a record and every model can look whether a hospital counted a record of this class with such a
score. Where it counted none, the record is not among its test records. Here the other hospitals' test records are
looked for, which come from the same publisher.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets import Samples
from pipeline.domain import HospitalName, RoundId
from pipeline.host import program
from pipeline.host.files import write_atomic
from pipeline.host.secret import Secret
from pipeline.measures.confusion import Confusion
from pipeline.measures.discrimination import discrimination
from pipeline.measures.scores import BINS, LEAST_SCORED, Scores, pooled
from pipeline.replay.plain_rounds import PlainMember, play_plain
from pipeline.setup.partition import deal
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.train.network import probabilities

RESULT = Path(__file__).parent / "results" / "scores.json"
STUDIES = ("breast_cancer", "heart_disease", "pneumonia")

_ROUNDS = 10

Told = tuple[Confusion, Scores]


def measure(study: Study, settings: Settings) -> dict[str, Any]:
    """Of one study: distance of the AUCs, and the share of strangers' records that the hospitals' counts rule out."""
    dealt = deal(study, *study.source.load(settings.searched))
    tests = {name: study.source.samples(test) for name, (_, test) in dealt.items()}
    # Of a rehearsal: the secret guards nothing.
    members = {
        name: PlainMember.of(study.source.samples(train), Secret(sha256(f"{study.name} {name}".encode()).digest()))
        for name, (train, _) in dealt.items()
    }
    numbers = [RoundId(number) for number in range(1, _ROUNDS + 1)]
    shares = [
        {name: probabilities(played.model, study.network, test.inputs) for name, test in tests.items()}
        for played in play_plain(study, members, numbers)
    ]
    told = [{name: _told(study, tests[name], found) for name, found in of_round.items()} for of_round in shares]
    tell = [name for name in tests if told[0][name][1].may_be_told]
    return {
        "study": study.name,
        "hospitals": len(tests),
        "tell": len(tell),
        "test_records": sum(map(len, tests.values())),
        **_distance(study, tests, shares[-1], told[-1]),
        "ruled_out": {
            kind: {
                str(rounds): _ruled_out(kind, tests, shares[:rounds], told[:rounds], tell) for rounds in (1, _ROUNDS)
            }
            for kind in ("confusion", "scores")
        },
    }


def _told(study: Study, test: Samples, shares: npt.NDArray[np.float64]) -> Told:
    classes = study.source.classes
    return Confusion.count(test.labels, shares.argmax(axis=1), classes), Scores.count(test.labels, shares, classes)


def _distance(
    study: Study,
    tests: Mapping[HospitalName, Samples],
    shares: Mapping[HospitalName, npt.NDArray[np.float64]],
    told: Mapping[HospitalName, Told],
) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    last = len(study.source.classes) - 1
    labels = np.concatenate([tests[name].labels for name in tests]) == last
    together = pooled((scores for _, scores in told.values()), study.source.classes)
    found = discrimination(together.of_class(last)) if together else None
    if found is None:
        raise AssertionError(f"{study.name}: got test records of one class, want some of each")
    exact = float(roc_auc_score(labels, np.concatenate([shares[name][:, last] for name in tests])))
    return {
        "auc": round(found.auc.value, 4),
        "auc_without_bins": round(exact, 4),
        "auc_rounding": round(found.rounding, 4),
    }


def _ruled_out(
    kind: str,
    tests: Mapping[HospitalName, Samples],
    shares: list[dict[HospitalName, npt.NDArray[np.float64]]],
    told: list[dict[HospitalName, Told]],
    tell: list[HospitalName],
) -> float:
    """Share of the other hospitals' test records in whose place a hospital that tells counted nobody, in some round."""
    outcomes = []
    for hospital in tell:
        for stranger in tests:
            if stranger == hospital:
                continue
            labels = tests[stranger].labels
            out = np.zeros(len(labels), dtype=bool)
            for of_round, said in zip(shares, told, strict=True):
                matrix, scores = said[hospital]
                found = of_round[stranger]
                if kind == "confusion":
                    out |= np.array(matrix.counts)[labels, found.argmax(axis=1)] == 0
                else:
                    last = len(matrix.classes) - 1
                    of_class = scores.of_class(last)
                    counts = np.array([of_class.others, of_class.own])
                    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], found[:, last])
                    out |= counts[(labels == last).astype(int), bins] == 0
            outcomes.append(float(out.mean()))
    return round(statistics.mean(outcomes), 4) if outcomes else 0.0


def main() -> None:
    """Measure, print and write results/scores.json."""
    settings = Settings.load()
    rows = [measure(Study.load(settings.studies / f"{name}.yaml"), settings) for name in STUDIES]
    result = {"bins": BINS, "least": LEAST_SCORED, "rounds": _ROUNDS, "studies": rows}
    write_atomic(RESULT, (json.dumps(result, indent=2) + "\n").encode())
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    program.run(main)
