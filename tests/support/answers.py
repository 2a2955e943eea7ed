"""What a study's model answers of a hospital's own records: `predict`, and beside it a model that left."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.datasets.base import RECORDS
from pipeline.datasets.images import LABELS
from pipeline.datasets.records import records_folder
from pipeline.domain import HospitalName
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.views.prediction import Predictor

LARGEST_DIFFERENCE = 1e-6
"""Of a share: libraries add float32 in different orders."""


def compared(file: Path, study: str, hospital: HospitalName, settings: Settings) -> int:
    """How many records of the hospital's table, the test records among them, an ONNX file answers as `predict` does.

    Raises AssertionError for one of which it says another.
    """
    import onnxruntime

    predictor = Predictor.open(study, hospital, settings)
    source = predictor.study.source
    questions = source.questions(records_folder(settings.hospital(hospital), source.name) / RECORDS)
    given = source.preparation["input"]
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    batch = questions.values.astype(given["dtype"]).reshape(-1, *given["shape"][1:])
    labels, shares = session.run(["label", "shares"], {given["name"]: batch})
    answers = predictor.predict(questions)
    assert [source.classes[label] for label in labels] == [answer.label for answer in answers]
    for row, answer in zip(shares, answers, strict=True):
        differences = [abs(share - answer.shares[name]) for name, share in zip(source.classes, row, strict=True)]
        assert max(differences) <= LARGEST_DIFFERENCE, answer.record
    return len(answers)


def share_right(settings: Settings, study: Study, hospital: HospitalName) -> float:
    """Share of a hospital's own pictures of which `predict` says what its list of labels says, in 0..1.

    Raises AssertionError where it answers for other pictures than those.
    """
    folder = records_folder(settings.hospital(hospital), study.source.name)
    predictor = Predictor.open(study.name, hospital, settings)
    answers = {answer.record: answer.label for answer in predictor.predict(predictor.study.source.questions(folder))}
    labels = pd.read_csv(folder / LABELS).set_index("file")["label"]
    assert answers.keys() == set(labels.index)
    return sum(answers[file] == label for file, label in labels.items()) / len(labels)
