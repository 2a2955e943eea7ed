"""ONNX Runtime and torch answer as `predict` does, on every record of the bundled studies and for every layer."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.domain import Context, RoundId, Sha256
from pipeline.errors import Misconfigured
from pipeline.export.content import Content
from pipeline.export.encoding import encoded
from pipeline.export.forms import FORMS
from pipeline.layers import LAYERS
from pipeline.model_file import Model, Scale
from pipeline.site.settings import PROJECT, Settings
from pipeline.study.study import Study
from pipeline.train.initial import initial_model
from pipeline.train.network import probabilities
from tests.support.answers import LARGEST_DIFFERENCE, compared
from tests.support.finished_rounds import CONTRACT, consortium
from tests.support.installed import STUDY
from tests.unit.round import test_scale

from .conftest import Left

pytestmark = pytest.mark.timeout(1800)

BUNDLED = ("breast_cancer", "heart_disease", "pneumonia")
ALL_LAYERS = (
    {"Conv2d": {"out_channels": 4, "kernel_size": 3, "stride": 1, "padding": 1}},
    {"MaxPool2d": {"kernel_size": 2}},
    {"ReLU": {}},
    {"Conv2d": {"out_channels": 4, "kernel_size": 3, "stride": 2, "padding": 2}},
    {"Residual": {"layers": [{"ReLU6": {}}, {"Conv2d": {"out_channels": 4, "kernel_size": 3, "padding": 1}}]}},
    {"AvgPool2d": {"kernel_size": 2}},
    {"Residual": {"layers": [{"Conv2d": {"out_channels": 4, "kernel_size": 1}}]}},
    {"ReLU6": {}},
    {"GlobalAvgPool2d": {}},
    {"Flatten": {}},
    {"Linear": {"out_features": 2}},
)


def content(study: Study, scale: Scale | None = None) -> Content:
    """A model whose weights are drawn: its classes lie close together, which is where answers would differ."""
    context = Context(31337, CONTRACT, Sha256("a" * 64), RoundId(1), Sha256("b" * 64))
    return Content(context, study.terms(consortium(study)), Model(initial_model(study), scale))


def records(study: Study) -> npt.NDArray[np.generic]:
    try:
        train, test = study.source.load(Settings.load().searched)
    except Misconfigured as missing:
        pytest.skip(str(missing))
    values: npt.NDArray[np.generic] = np.concatenate([train.values, test.values])
    return values


def same_answers(of: Content, values: npt.NDArray[np.generic]) -> None:
    """In ONNX Runtime and in torch, of the files themselves."""
    import onnxruntime
    import torch

    study = of.study
    wanted = probabilities(of.model.parameters, study.network, study.source.encode(values))
    given = study.source.preparation["input"]
    batch = values.astype(given["dtype"]).reshape(-1, *given["shape"][1:])
    session = onnxruntime.InferenceSession(encoded(of, FORMS["onnx"]), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == [given["name"]]
    loaded = torch.jit.load(io.BytesIO(encoded(of, FORMS["torchscript"])))
    with torch.inference_mode():
        by_torch = [tensor.numpy() for tensor in loaded(torch.from_numpy(batch))]
    for labels, shares in (session.run(["label", "shares"], {given["name"]: batch}), by_torch):
        np.testing.assert_array_equal(labels, wanted.argmax(axis=1))
        assert shares.dtype == np.float32
        assert np.abs(shares - wanted).max() <= LARGEST_DIFFERENCE


@pytest.mark.parametrize("name", BUNDLED)
def test_every_record_of_a_bundled_study_gets_the_same_answer(name: str) -> None:
    study = Study.load(PROJECT / "studies" / f"{name}.yaml")
    same_answers(content(study), records(study))


def test_every_record_of_a_study_on_a_measured_scale_gets_the_same_answer() -> None:
    fields = {**STUDY, **test_scale.STUDY, "dataset": "scaled", "table": test_scale.TABLE, "name": "scaled"}
    study = Study.model_validate(fields)
    places = range(len(study.source.measured))
    of = content(study, Scale(tuple(2.5 + place for place in places), tuple(1.25 + place for place in places)))
    frame = test_scale.patients(7)[list(test_scale.COLUMNS)]
    assert frame.isna().any(axis=None)
    same_answers(of, frame.to_numpy(dtype=np.float64))


@pytest.mark.parametrize("which", ["left", "measured", "ended"])
def test_the_file_of_a_played_round_answers_every_hospitals_records_as_predict_does(
    which: str, request: pytest.FixtureRequest
) -> None:
    left: Left = request.getfixturevalue(which)
    form = FORMS["onnx"]
    file = left.exported(form) / form.file
    for hospital in left.study.hospitals:
        assert compared(file, left.name, hospital, left.site.settings) > 20


def test_every_layer_leaves() -> None:
    plain = Study.load(PROJECT / "studies" / "pneumonia.yaml")
    study = plain.model_copy(update={"model": ALL_LAYERS})
    assert {name for item in ALL_LAYERS for name in item} == set(LAYERS)
    pixels = np.random.default_rng(5).integers(0, 256, (300, 28, 28), dtype=np.uint8)
    same_answers(content(study), pixels)


def test_two_exports_in_one_process_have_the_same_bytes() -> None:
    study = Study.load(PROJECT / "studies" / "breast_cancer.yaml")
    form = FORMS["torchscript"]
    assert encoded(content(study), form) == encoded(content(study), form)
