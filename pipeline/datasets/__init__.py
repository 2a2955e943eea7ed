"""Data set plug-ins: a data set is one file with one class, which the table finds by itself.

Nothing heavy at import.
"""

from pipeline.datasets.base import Dataset, PredictionBatch, Records, Samples, Split
from pipeline.datasets.plugins import DATASETS

__all__ = ["DATASETS", "Dataset", "PredictionBatch", "Records", "Samples", "Split"]
