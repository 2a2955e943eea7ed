"""A model on a backbone's features leaves as one file that takes pictures, and is known again with the backbone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets.records import records_folder
from pipeline.domain import HospitalName
from pipeline.export.forms import FORMS
from pipeline.export.taking_out import BACKBONE
from pipeline.views.prediction import Predictor
from tests.support.backbones import backbone, graph, lay_beside, study_lines, written
from tests.support.memory.site import MemorySite
from tests.unit.export.conftest import LONG, Left
from tests.unit.round.test_backbone import pictures

NAME = "stripes"
HOSPITALS = tuple(map(HospitalName, ("aster", "birch", "cedar")))

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def left(site: MemorySite, tmp_path_factory: pytest.TempPathFactory) -> Left:
    for seed, name in enumerate(HOSPITALS):
        pictures(records_folder(site.settings.hospital(name), NAME), seed)
    lay_beside(site.settings.studies, backbone())
    play = site.play(NAME, **study_lines(backbone()), hospitals=list(HOSPITALS), deadlines=LONG)
    return Left(site, NAME, (play.round(),), tmp_path_factory.mktemp("left"))


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


def verified(left: Left, file: Path) -> tuple[int, str]:
    said = left.run("model", "verify", str(file), "--nodes", str(left.nodes))
    return said.exit_code, " ".join(said.output.split())


def test_one_file_answers_pictures_as_predict_does(left: Left) -> None:
    import onnxruntime

    predictor = Predictor.open(NAME, HOSPITALS[0], left.site.settings)
    questions = predictor.study.source.questions(records_folder(left.site.settings.hospital(HOSPITALS[0]), NAME))
    wanted = predictor.predict(questions)
    given = predictor.study.source.preparation["input"]
    session = onnxruntime.InferenceSession(left.file(FORMS["onnx"]), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == [given["name"]]
    levels = questions.values.reshape(-1, *given["shape"][1:])
    labels, shares = session.run(["label", "shares"], {given["name"]: levels})
    classes = predictor.study.source.classes
    assert [classes[label] for label in labels] == [answer.label for answer in wanted]
    # A feature may be rounded to its neighbour, since all pictures are asked at once.
    ours = np.array([[answer.shares[name] for name in classes] for answer in wanted])
    assert np.abs(shares - ours).max() <= 1e-2


@pytest.mark.parametrize("form", ["onnx", "safetensors"])
def test_it_is_known_again_with_the_backbone_beside_it(left: Left, form: str, tmp_path: Path) -> None:
    folder = copied(left.exported(FORMS[form]), tmp_path)
    assert (folder / BACKBONE).read_bytes() == backbone()
    assert verified(left, folder / FORMS[form].file)[0] == 0
    (folder / BACKBONE).write_bytes(written(graph(channels=3)))
    code, said = verified(left, folder / FORMS[form].file)
    assert (code, "backbone: got a file with SHA-256" in said) == (1, True), said
    (folder / BACKBONE).unlink()
    code, said = verified(left, folder / FORMS[form].file)
    assert (code, "backbone: got no file, want the study's" in said) == (1, True), said


def test_torchscript_has_no_form_for_it(left: Left, tmp_path: Path) -> None:
    said = left.run("model", "export", NAME, "--format", "torchscript", "--out", str(tmp_path / "out"))
    assert said.exit_code != 0
    assert not (tmp_path / "out").exists()
    assert "take the form onnx" in str(said.exception) + said.output
