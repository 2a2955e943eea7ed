"""What a study that names no learning rate, steps and thresholds should take: `python -m benchmarks.defaults`.

Plays the example of *Bring your own data*, on the scale that it measures, and the bundled studies without their own
lines on training and thresholds, in plain integers. The last hospital of each flips its labels. What was played is in
results/defaults.json and is not played again.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.tables import defaults as tables
from examples.sepsis import patients
from pipeline.datasets import Samples
from pipeline.datasets.base import RECORDS
from pipeline.datasets.measured import figures
from pipeline.domain import HospitalName, RoundId
from pipeline.errors import UpdateRejected
from pipeline.evidence.canonical import sha256
from pipeline.host import program
from pipeline.host.files import write_atomic
from pipeline.host.secret import Secret
from pipeline.replay.plain_rounds import PlainMember, play_plain, scaled_plainly
from pipeline.setup.partition import deal
from pipeline.site.settings import PROJECT, Settings
from pipeline.study.fields import Rule, Training
from pipeline.study.study import Study
from pipeline.train.misbehaviour import BEHAVIOURS, HONEST
from pipeline.train.network import accuracy

RESULTS = Path(__file__).parent / "results" / "defaults.json"
PAGE = PROJECT / "docs" / "tutorials" / "bring-your-own-data.md"
EXAMPLE = "sepsis"
BUNDLED = ("breast_cancer", "heart_disease", "pneumonia")

ROUNDS = 8
EARLY = Rule().early_rounds

_RECORDS, _OTHERS = 900, 6000
"""Of the example: what the hospitals have together, and as many others that an accuracy is exact to half a point."""
_FIVE = ("aster", "birch", "cedar", "dahlia", "elm")


@dataclass(frozen=True)
class Setting:
    """What is tried; without anything what a study takes today."""

    learning_rate: float = Training().learning_rate
    steps: int = Training().steps
    overall: int = Rule().below_global_percent
    """Points that a model may fall below the global one and its peers, in later rounds."""
    weakest: int = Rule().weakest_class_below_global_percent
    """The same of its weakest class."""

    def of(self, study: Study) -> Study:
        """The study with these, and with the defaults of all else that its training and rule may say."""
        rule = Rule(
            below_global_percent=self.overall,
            below_peers_percent=self.overall,
            weakest_class_below_global_percent=self.weakest,
            weakest_class_below_peers_percent=self.weakest,
        )
        training = Training(learning_rate=self.learning_rate, steps=self.steps)
        return study.model_copy(update={"training": training, "rule": rule})


GRID = tuple(Setting(rate, steps) for rate in (0.02, 0.05, 0.1) for steps in (12, 24, 48))
THRESHOLDS = tuple(Setting(overall=overall, weakest=weakest) for overall, weakest in ((10, 20), (15, 30), (20, 40)))


@dataclass(frozen=True)
class Case:
    """A study with everybody's records, dealt by one seed."""

    study: Study
    training: Mapping[HospitalName, Samples]
    test: Samples


@lru_cache(maxsize=1)
def case(name: str, seed: int) -> Case:
    """The example, or a bundled study."""
    return _example(seed) if name == EXAMPLE else _bundled(name, seed)


def _example(seed: int) -> Case:
    (lines,) = re.findall(r"```yaml\n(table:.*?)```", PAGE.read_text(), re.DOTALL)
    others = {"title": "Sepsis", "hospitals": list(_FIVE), "nodes": ["north", "east", "west"], "engine": "spu"}
    everybody = patients(_RECORDS, np.random.default_rng(seed))
    with tempfile.TemporaryDirectory(prefix="wardround-defaults-") as temporary:
        root = Path(temporary)
        file = root / f"{EXAMPLE}.yaml"
        file.write_text(yaml.safe_dump(others | {"protocol": "aby3"}) + lines)
        study = Study.load(file)
        said = {}
        for index, name in enumerate(study.hospitals):
            (root / name).mkdir()
            everybody.iloc[index :: len(study.hospitals)].to_csv(root / name / RECORDS, index=False)
            said[name] = figures(study.source.measured, study.source.statistics(root / name))
        study = scaled_plainly(study, said)
        (root / "others").mkdir()
        patients(_OTHERS, np.random.default_rng([seed, 1])).to_csv(root / "others" / RECORDS, index=False)
        training = {name: study.source.read(root / name).train for name in study.hospitals}
        return Case(study, training, study.source.read(root / "others").train)


def _bundled(name: str, seed: int) -> Case:
    settings = Settings.load()
    study = Study.load(PROJECT / "studies" / f"{name}.yaml").model_copy(update={"seed": seed})
    dealt = deal(study, *study.source.load(settings.searched))
    training = {hospital: study.source.samples(train) for hospital, (train, _) in dealt.items()}
    return Case(study, training, _together([study.source.samples(test) for _, test in dealt.values()]))


def play(name: str, setting: Setting, seed: int) -> dict[str, Any]:
    """One study under one setting: accuracy beside a regression on all records, and who was judged wrongly when.

    The accuracy is None where a hospital cannot hand its update in.
    """
    dealt = case(name, seed)
    study = setting.of(dealt.study)
    attacker = study.hospitals[-1]
    members = {
        hospital: PlainMember.of(
            samples,
            Secret(bytes.fromhex(sha256(f"{name} {seed} {hospital}".encode()))),
            BEHAVIOURS["label_flip"] if hospital == attacker else HONEST,
        )
        for hospital, samples in dealt.training.items()
    }
    about = {"study": name, **asdict(setting), "seed": seed, "regression": round(_regression(name, seed), 4)}
    try:
        played = play_plain(study, members, [RoundId(number) for number in range(1, ROUNDS + 1)])
    except UpdateRejected:  # a coordinate beyond what may be shared
        return about | {"accuracy": None}
    rejected = [sum(not bit for who, bit in one.accepted.items() if who != attacker) for one in played]
    correct, tested = accuracy(played[-1].model, study.network, dealt.test)
    return about | {
        "accuracy": round(correct / tested, 4),
        "honest": (len(members) - 1) * len(played),
        "rejected_early": sum(rejected[:EARLY]),
        "rejected_later": sum(rejected[EARLY:]),
        "attacker_accepted": sum(one.accepted[attacker] for one in played),
    }


@lru_cache(maxsize=1)
def _regression(name: str, seed: int) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    dealt = case(name, seed)
    everything = _together([*dealt.training.values()])
    pooled = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    pooled.fit(_flat(everything), everything.labels)
    return float(pooled.score(_flat(dealt.test), dealt.test.labels))


def _flat(samples: Samples) -> np.ndarray:
    return samples.inputs.reshape(len(samples), -1)


def _together(parts: Sequence[Samples]) -> Samples:
    return Samples(np.concatenate([part.inputs for part in parts]), np.concatenate([part.labels for part in parts]))


def main(
    study: Annotated[list[str] | None, typer.Option(help="may be given again; without it all")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="dealings of each")] = 3,
) -> None:
    """Play what was not played yet, and print all of it."""
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    done = {(row["study"], row["seed"], *(row[field] for field in asdict(Setting()))) for row in rows}
    for name in study or (EXAMPLE, *BUNDLED):
        for seed in range(seeds):
            for setting in dict.fromkeys((*GRID, *THRESHOLDS)):
                if (name, seed, *asdict(setting).values()) not in done:
                    rows.append(play(name, setting, seed))
                    lines = ",\n".join(json.dumps(row) for row in rows)
                    write_atomic(RESULTS, f'{{"rounds": {ROUNDS}, "rows": [\n{lines}\n]}}\n'.encode())
    shown = Table(*tables.HEADER)
    for cells in tables.cells(rows):
        shown.add_row(*cells)
    Console(width=160).print(shown)


if __name__ == "__main__":
    program.run(main)
