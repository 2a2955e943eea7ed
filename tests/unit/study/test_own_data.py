"""The lines of *Bring your own data* for one's own data and model, taken from the page and run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.datasets import records
from pipeline.datasets.pool import draw, split
from pipeline.datasets.records import records_folder
from pipeline.domain import RoundId, Sha256
from pipeline.errors import InvalidStudy
from pipeline.host.secret import Secret
from pipeline.ingest.explain import inspect
from pipeline.mpc import reference, rule
from pipeline.mpc.engines.base import AggregateTask, VerifyTask
from pipeline.round.parameters import rule_parameters
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study
from pipeline.train.initial import initial_model
from pipeline.train.network import accuracy
from pipeline.train.stage import run

PAGE = PROJECT / "docs" / "tutorials" / "bring-your-own-data.md"
(LINES,) = re.findall(r"```yaml\n(table:.*?)```", PAGE.read_text(), re.S)
OTHERS = {
    "title": "Sepsis",
    "hospitals": ["aster", "birch", "cedar"],
    "nodes": ["north", "east", "west"],
    "engine": "spu",
    "protocol": "aby3",
}


def written(folder: Path, lines: str = LINES, **others: Any) -> Path:
    file = folder / "sepsis.yaml"
    file.write_text(yaml.safe_dump(OTHERS | others) + lines)
    return file


def patients(seed: int, count: int = 90) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    septic = rng.random(count) < 0.4
    return pd.DataFrame(
        {
            "record_id": [f"p{row}" for row in range(count)],
            "age": rng.integers(20, 95, count),
            "lactate": np.clip(rng.normal(np.where(septic, 14, 3), 2), 0, 30).round(1),
            "heart_rate": np.where(rng.random(count) < 0.1, np.nan, rng.integers(55, 160, count)),
            "sex": rng.integers(0, 2, count),
            "label": np.where(septic, "septic", "recovered"),
        }
    )


def test_own_data_and_own_model_take_at_most_eight_lines_and_a_round_of_them_learns(tmp_path: Path) -> None:
    assert len(LINES.splitlines()) <= 8
    study = Study.load(written(tmp_path))
    assert study.dataset == "sepsis"
    model = initial_model(study)
    updates = {}
    payloads = {}
    tests = []
    for place, name in enumerate(study.hospitals):
        folder = records_folder(tmp_path / name, study.dataset)
        folder.mkdir(parents=True)
        patients(place).to_csv(folder / "records.csv", index=False)
        assert inspect(folder, study).failures == {}
        own = records.read(tmp_path / name, study.source)
        secret = Secret(bytes([place + 1]) * 32)
        rows, pool = split(own.train, secret)
        updates[name] = run(study, model, own.train[rows], round_id=RoundId(1), finished=0, hospital=name, budget=None)
        drawn = draw(own.train[pool], study.rule.images_per_hospital, secret, Sha256("0" * 64), RoundId(1), name)
        payloads[name] = np.concatenate(
            [updates[name], drawn.inputs.reshape(-1), np.eye(2, dtype=np.int64)[drawn.labels].reshape(-1)]
        )
        tests.append(own.test)
    bits, _ = reference.verify(
        VerifyTask(study.hospitals, study.network, rule_parameters(study, 0, None), model), payloads
    )
    assert bits == (True, True, True)
    model = rule.new_model(model, *reference.aggregate(AggregateTask(study.hospitals, study.network), updates))
    counts = [accuracy(model, study.network, test) for test in tests]
    assert sum(correct for correct, _ in counts) > 0.9 * sum(tested for _, tested in counts)


def test_several_studies_may_share_data_under_a_name_that_no_package_has(tmp_path: Path) -> None:
    assert Study.load(written(tmp_path, dataset="icu")).source.name == "icu"
    with pytest.raises(
        InvalidStudy, match=r"dataset: got 'pneumonia', want another name than those of the package: breast_cancer"
    ):
        Study.load(written(tmp_path, dataset="pneumonia"))


@pytest.mark.parametrize(
    ("lines", "field", "wanted"),
    [
        (LINES.replace("[0, 30]", "[30, 0]"), r"table\.columns\.lactate", "the lowest value lies below the highest"),
        (LINES.replace("[recovered, septic]", "[recovered, septic, dead]"), "model", "3, one per class of sepsis"),
        (LINES.replace("[recovered, septic]", "[no, yes]"), r"table\.classes\.0", "valid string"),
        (LINES + "images: {size: [8, 8], classes: [a, b]}\n", "images", "one kind of data in a study"),
        (LINES.replace("table:", "images:").replace("  columns", "  size"), r"images\.size", "valid"),
    ],
)
def test_a_wrong_line_is_refused_with_its_field_and_what_is_allowed(
    lines: str, field: str, wanted: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidStudy, match=rf"{field}: got .*{wanted}"):
        Study.load(written(tmp_path, lines))


def test_pictures_of_one_s_own_take_one_line_more_than_the_model(tmp_path: Path) -> None:
    model = "model:\n  - Flatten: {}\n  - Linear: {out_features: 2}\n"
    study = Study.load(written(tmp_path, "images: {size: [8, 9], classes: [normal, pneumonia]}\n" + model))
    assert (study.source.shape, study.network.size) == ((1, 8, 9), 146)
