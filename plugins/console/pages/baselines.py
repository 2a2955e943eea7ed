"""Classical models beside the study's network, per data set, as `dvc repro` measured them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pipeline.errors import EvidenceRejected, InvalidStudy
from pipeline.evidence.canonical import read_json
from pipeline.site.settings import PROJECT, Settings
from pipeline.study.study import Study
from plugins.console import charts
from plugins.console.access import Anyone
from plugins.console.charts import Chart
from plugins.console.dependencies import Rounds
from plugins.console.page import Link, render

router = APIRouter()
LINK = Link(50, "Baselines", "/baselines")

RESULTS = PROJECT / "benchmarks" / "results" / "baselines"

_MODELS = {"svm": "SVM", "logistic_regression": "Logistic regression", "decision_tree": "Decision tree"}
_TRAINED_ON = {"hospital": "each hospital alone", "pooled": "pooled data", "federated": "federated"}


@dataclass(frozen=True)
class BaselineRow:
    """One model, trained in one place, on all hospitals' test records."""

    model: str
    where: str
    kind: str
    accuracy: float
    balanced: float
    deviation: float | None


@dataclass(frozen=True)
class Comparison:
    """One study's data set."""

    study: str
    dataset: str
    seeds: int
    rounds: int
    below_pooled: float
    """Points of a hundred by which the federated network is below the pooled one."""
    rows: list[BaselineRow]
    chart: Chart
    hospitals: Mapping[str, Mapping[str, float]]
    """Hospital to model to accuracy: each trained on its own records and, federated, on everybody's."""


@router.get("/baselines")
def baselines(request: Request, who: Anyone, index: Rounds) -> HTMLResponse:
    """One chart and table per data set; where nothing was measured, the command that measures."""
    comparisons = []
    unreadable = []
    for file in sorted(RESULTS.glob("*.json")):
        try:
            comparisons.append(_comparison(read_json(file.read_bytes()), index.settings))
        except (EvidenceRejected, ValueError, KeyError, TypeError, AttributeError):
            unreadable.append(file.name)
    return render(request, "baselines", who, comparisons=comparisons, unreadable=unreadable)


def _comparison(result: Mapping[str, Any], settings: Settings) -> Comparison:
    names = _MODELS | {"network": _network(settings, str(result["study"]))}
    rows = [
        BaselineRow(
            names[model],
            _TRAINED_ON[where],
            where,
            scores["all"]["accuracy"],
            scores["all"]["balanced"],
            scores["all"].get("deviation"),
        )
        for where in _TRAINED_ON
        for model, scores in result[where].items()
    ]
    study = str(result["study"])
    chart = charts.bars(
        f"baselines-{study}",
        f"Accuracy on all hospitals' test records, {result['dataset']}",
        [(f"{row.model}, {row.where}", row.accuracy, row.kind) for row in rows],
    )
    hospitals = {
        name: {_MODELS[model]: scores[name]["accuracy"] for model, scores in result["hospital"].items()}
        | {"federated": result["federated"]["network"][name]["accuracy"]}
        for name in result["federated"]["network"]
        if name != "all"
    }
    return Comparison(
        study,
        str(result["dataset"]),
        len(result["seeds"]),
        int(result["rounds"]),
        float(result["points_below_pooled"]),
        rows,
        chart,
        hospitals,
    )


def _network(settings: Settings, study: str) -> str:
    """What a data scientist calls the study's network."""
    try:
        layers = [next(iter(item)) for item in Study.load(Path(settings.studies) / f"{study}.yaml").model]
    except InvalidStudy:
        return "Network"
    if "Conv2d" in layers:
        return "CNN"
    return "MLP" if layers.count("Linear") > 1 else "Linear network"
