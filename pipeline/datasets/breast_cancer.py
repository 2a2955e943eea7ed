"""Breast Cancer Wisconsin (Diagnostic): 569 records of 30 features, inside scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.datasets.base import Records
from pipeline.datasets.table import Column, Table

_COLUMNS = (
    # name, mean and standard deviation of the published cohort (six digits), lowest and highest plausible value:
    # from zero, a measure's own floor, to at least twice the published maximum
    Column("mean radius", 14.1273, 3.52095, 0.0, 60),
    Column("mean texture", 19.2896, 4.29725, 0.0, 80),
    Column("mean perimeter", 91.969, 24.2776, 0.0, 400),
    Column("mean area", 654.889, 351.605, 0.0, 5500),
    Column("mean smoothness", 0.0963603, 0.0140518, 0.0, 0.35),
    Column("mean compactness", 0.104341, 0.0527663, 0.0, 0.7),
    Column("mean concavity", 0.0887993, 0.0796497, 0.0, 0.9),
    Column("mean concave points", 0.0489191, 0.0387687, 0.0, 0.45),
    Column("mean symmetry", 0.181162, 0.0273902, 0.0, 0.65),
    Column("mean fractal dimension", 0.0627976, 0.00705416, 0.0, 0.2),
    Column("radius error", 0.405172, 0.277069, 0.0, 6),
    Column("texture error", 1.21685, 0.551163, 0.0, 10),
    Column("perimeter error", 2.86606, 2.02008, 0.0, 45),
    Column("area error", 40.3371, 45.451, 0.0, 1500),
    Column("smoothness error", 0.00704098, 0.00299988, 0.0, 0.065),
    Column("compactness error", 0.0254781, 0.0178924, 0.0, 0.3),
    Column("concavity error", 0.0318937, 0.0301595, 0.0, 0.8),
    Column("concave points error", 0.0117961, 0.00616486, 0.0, 0.15),
    Column("symmetry error", 0.0205423, 0.0082591, 0.0, 0.2),
    Column("fractal dimension error", 0.0037949, 0.00264374, 0.0, 0.06),
    Column("worst radius", 16.2692, 4.82899, 0.0, 75),
    Column("worst texture", 25.6772, 6.14085, 0.0, 100),
    Column("worst perimeter", 107.261, 33.573, 0.0, 550),
    Column("worst area", 880.583, 568.856, 0.0, 9000),
    Column("worst smoothness", 0.132369, 0.0228124, 0.0, 0.45),
    Column("worst compactness", 0.254265, 0.157198, 0.0, 2.5),
    Column("worst concavity", 0.272188, 0.208441, 0.0, 3),
    Column("worst concave points", 0.114606, 0.0656746, 0.0, 0.6),
    Column("worst symmetry", 0.290076, 0.0618131, 0.0, 1.5),
    Column("worst fractal dimension", 0.0839458, 0.0180454, 0.0, 0.45),
)

_ORDER_SEED = 569
_TEST_EVERY = 4


class BreastCancer(Table):
    """Fine-needle aspirates: malignant or benign, standardised by the published cohort's constants."""

    name = "breast_cancer"
    title = "Breast Cancer Wisconsin (Diagnostic)"
    shape = (30,)
    classes = ("malignant", "benign")
    input_range = (-1024, 1024)
    source = "UCI 17, CC BY 4.0; through scikit-learn"
    columns = _COLUMNS

    def load(self, folders: Sequence[Path]) -> tuple[Records, Records]:
        """Every fourth record of a seeded order is a test record; `folders` is not read."""
        from sklearn.datasets import load_breast_cancer

        values, labels = load_breast_cancer(return_X_y=True)
        ids = np.array([f"wdbc-{row:03d}" for row in range(len(labels))])
        everything = Records(ids, values, labels.astype(np.int64))
        order = np.random.Generator(np.random.PCG64(_ORDER_SEED)).permutation(len(labels))
        test = np.arange(len(order)) % _TEST_EVERY == 0
        return everything[order[~test]], everything[order[test]]
