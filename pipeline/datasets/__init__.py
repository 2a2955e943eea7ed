"""Data set plug-ins: a data set is one file with one class; nothing heavy at import."""

from pipeline.datasets.base import Dataset, PredictionBatch, Records, Samples, Split
from pipeline.datasets.breast_cancer import BreastCancer
from pipeline.datasets.heart_disease import HeartDisease
from pipeline.datasets.pneumonia import Pneumonia

DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in (BreastCancer(), HeartDisease(), Pneumonia())}
"""Name in a study file to data set."""

__all__ = ["DATASETS", "Dataset", "PredictionBatch", "Records", "Samples", "Split"]
