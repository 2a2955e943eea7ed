"""Breast Cancer Wisconsin (Diagnostic): 569 records of 30 features, inside scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.datasets.base import Dataset, Samples


class BreastCancer(Dataset):
    """Fine-needle aspirates: malignant or benign, standardised by the published cohort's constants."""

    name = "breast_cancer"
    title = "Breast Cancer Wisconsin (Diagnostic)"
    shape = (30,)
    classes = ("malignant", "benign")
    input_range = (-1024, 1024)
    source = "UCI 17, CC BY 4.0; through scikit-learn"

    def load(self, folders: Sequence[Path]) -> tuple[Samples, Samples]:
        """Every fourth record is a test record; `folders` is not read."""
        raise NotImplementedError
