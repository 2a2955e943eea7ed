"""Classical models on the pooled demonstration data: what a data scientist would compare a network with."""

from __future__ import annotations

import numpy as np

from pipeline.datasets import Samples
from pipeline.domain import INPUT_BITS


def baselines(train: Samples, test: Samples, seed: int) -> dict[str, tuple[int, int]]:
    """Name of a scikit-learn model to its correct answers and tested records; pooled data, so never in a consortium."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    models = {
        "logistic_regression": LogisticRegression(C=0.1, class_weight="balanced", max_iter=500, random_state=seed),
        "support_vector_machine": SVC(C=10, class_weight="balanced", random_state=seed),
        "decision_tree": DecisionTreeClassifier(max_depth=5, class_weight="balanced", random_state=seed),
    }
    results = {}
    for name, model in models.items():
        model.fit(_flat(train), train.labels)
        results[name] = (int(np.sum(model.predict(_flat(test)) == test.labels)), len(test))
    return results


def _flat(samples: Samples) -> np.ndarray:
    return samples.inputs.reshape(len(samples), -1).astype(np.float32) / (1 << INPUT_BITS)
