"""The baselines: what they measure on a small run, and that the published ones hold what their page says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmarks.baselines import RESULTS, measure, summarise, table
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study
from pipeline.train.baselines import Score

STUDIES = ("breast_cancer", "heart_disease", "pneumonia")
MODELS = {"svm", "logistic_regression", "decision_tree"}


def test_classical_models_per_hospital_and_pooled_stand_beside_the_network_pooled_and_federated() -> None:
    study = Study.load(PROJECT / "studies" / "breast_cancer.yaml")
    found, verdicts, rejected = measure(study, study.source.load([]), rounds=2)
    assert (verdicts, rejected) == (10, 0)
    everybody = {*study.hospitals, "all"}
    assert {(where, model) for where, model, _ in found} == {
        *(("hospital", model) for model in MODELS),
        *(("pooled", model) for model in {*MODELS, "network"}),
        ("federated", "network"),
    }
    assert {who for where, model, who in found if (where, model) == ("pooled", "svm")} == everybody
    assert {who for where, _, who in found if where == "hospital"} == everybody - {"all"}
    pooled = found["pooled", "svm", "all"]
    assert pooled.tested == sum(found["pooled", "svm", name].tested for name in study.hospitals)
    assert pooled.accuracy > 0.95
    assert found["federated", "network", "all"].accuracy > 0.85
    result = summarise(study, 2, {study.seed: (found, verdicts, rejected)})
    assert result["pooled"]["svm"]["all"]["accuracy"] == round(pooled.accuracy, 4)
    assert [line.split(",")[0] for line in table(result).splitlines()[1:3]] == [
        "svm (hospital)",
        "logistic regression (hospital)",
    ]


def test_the_mean_of_the_hospitals_own_models_counts_every_patient_once() -> None:
    study = Study.load(PROJECT / "studies" / "breast_cancer.yaml")
    same = {("pooled", "network", "all"): Score(0.9, 0.9, 40), ("federated", "network", "all"): Score(0.885, 0.9, 40)}
    own = {("hospital", "svm", "aster"): Score(0.5, 0.5, 10), ("hospital", "svm", "birch"): Score(0.9, 0.7, 30)}
    result = summarise(study, 1, {1: ({**own, **same}, 5, 1)})
    assert result["hospital"]["svm"]["all"] == {"accuracy": 0.8, "balanced": 0.65}
    assert (result["points_below_pooled"], result["honest_rejected"]) == (1.5, 1)


@pytest.mark.parametrize("name", STUDIES)
def test_the_published_federated_model_is_within_two_points_of_the_pooled_one(name: str) -> None:
    result = json.loads((RESULTS / f"{name}.json").read_text())
    assert result["points_below_pooled"] <= 2
    assert len(result["seeds"]) >= 3
    assert set(result["hospital"]) == MODELS
    plotted = pd.read_csv(RESULTS / f"{name}.csv").set_index(["model", "trained"])["accuracy"]
    assert plotted["network", "federated"] == result["federated"]["network"]["all"]["accuracy"]


def test_the_stage_measures_each_study_with_the_published_number_of_seeds() -> None:
    stage = yaml.safe_load((Path(PROJECT) / "benchmarks" / "dvc.yaml").read_text())["stages"]["baselines"]
    published = {name: {"seeds": len(json.loads((RESULTS / f"{name}.json").read_text())["seeds"])} for name in STUDIES}
    assert stage["foreach"] == published
