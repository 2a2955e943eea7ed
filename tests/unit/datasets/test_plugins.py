from pathlib import Path

import pytest

import pipeline.datasets
from pipeline.datasets import DATASETS
from pipeline.datasets.plugins import datasets_among


def test_a_data_set_is_one_file_that_the_table_finds_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bigger_cancer.py").write_text(
        "from pipeline.datasets.breast_cancer import BreastCancer\n\n\nclass BiggerCancer(BreastCancer):\n    name ="
        ' "bigger_cancer"\n\n\nclass Helper(BreastCancer):\n    name = "helper"\n'
    )
    monkeypatch.setattr("pipeline.datasets.__path__", [*pipeline.datasets.__path__, str(tmp_path)])
    assert {found.name for found in datasets_among(pipeline.datasets.__path__)} == {*DATASETS, "bigger_cancer"}
