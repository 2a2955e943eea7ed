"""Classical models, and how well any model answers: what a data scientist would compare a federated network with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets import Samples
from pipeline.domain import INPUT_BITS
from pipeline.model_file import Vector
from pipeline.study.study import Study
from pipeline.train.network import probabilities


@dataclass(frozen=True)
class Score:
    """How well a model answers: shares of all test records, and of each class's alike."""

    accuracy: float
    balanced: float
    tested: int


def classical(train: Samples, seed: int) -> Mapping[str, Any]:
    """Name of a scikit-learn model to the fitted model.

    Its settings are those of a first try, chosen by nobody's test records.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    models = {
        "svm": SVC(C=1, class_weight="balanced", random_state=seed),
        "logistic_regression": LogisticRegression(C=0.1, class_weight="balanced", max_iter=500, random_state=seed),
        "decision_tree": DecisionTreeClassifier(max_depth=5, class_weight="balanced", random_state=seed),
    }
    return {name: model.fit(_flat(train), train.labels) for name, model in models.items()}


def answers(model: Any, test: Samples) -> npt.NDArray[np.int64]:
    """The class that a fitted scikit-learn model gives each test record, (n,)."""
    return np.asarray(model.predict(_flat(test)), dtype=np.int64)


def score_classical(model: Any, test: Samples) -> Score:
    """A fitted scikit-learn model on test records."""
    return _score(answers(model, test), test)


def score_network(study: Study, model: Vector, test: Samples) -> Score:
    """A study's model on test records."""
    return _score(probabilities(model, study.network, test.inputs).argmax(axis=1), test)


def _score(answered: npt.NDArray[np.int64], test: Samples) -> Score:
    right = answered == test.labels
    recalls = [float(right[test.labels == label].mean()) for label in np.unique(test.labels)]
    return Score(float(right.mean()), float(np.mean(recalls)), len(test))


def _flat(samples: Samples) -> npt.NDArray[np.float64]:
    return samples.inputs.reshape(len(samples), -1).astype(np.float64) / (1 << INPUT_BITS)
