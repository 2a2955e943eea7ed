"""Rounds on a public backbone's features with a real store, chain and engine, and what is left of one afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli import commands
from pipeline.datasets.backbone import backbone_path
from pipeline.datasets.records import records_folder
from pipeline.domain import HospitalName, Kind, RoundId
from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import sha256
from pipeline.export.forms import FORMS
from pipeline.host.files import write_atomic
from pipeline.ingest import __main__ as ingest
from pipeline.replay import reproduce
from pipeline.site.settings import PROJECT
from pipeline.store import object_keys
from pipeline.train import __main__ as train
from pipeline.views.prediction import Predictor
from tests.support.backbones import backbone, graph, lay_beside, study_lines, written
from tests.support.consortia import HOSPITALS, Site
from tests.support.in_the_clear import computed_in_the_clear
from tests.support.installed import STUDY
from tests.support.rounds import Play
from tests.unit.export.conftest import Left
from tests.unit.round.test_backbone import pictures

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.timeout(900)]

FOUR = (*HOSPITALS[:3], HOSPITALS[4])
ASTER, *_, ELM = FOUR
NAME = "stripes"
PICTURES = 80
OTHER = written(graph(channels=3))


@dataclass(frozen=True)
class Finished:
    """A round, and what it had to come to by the reference."""

    play: Play
    round_id: RoundId
    verdicts: dict[HospitalName, str]
    model: str


@pytest.fixture(scope="module")
def stripes(site: Site) -> Iterator[Site]:
    """Pictures at four hospitals, the last of which flips its labels within the budget."""
    for seed, name in enumerate(FOUR):
        pictures(records_folder(site.settings.hospital(name), NAME), seed)
    lay_beside(site.settings.studies, backbone())
    behaviour = site.settings.hospital(ELM) / "hospital.yaml"
    before = behaviour.read_bytes() if behaviour.exists() else None
    behaviour.write_text("misbehaviour: label_flip_within_budget\n")
    try:
        yield site
    finally:
        behaviour.unlink()
        if before is not None:
            behaviour.write_bytes(before)


def finished(site: Site, name: str, **engine: str) -> Finished:
    training = {"steps": 60, "batch_size": 24, "learning_rate": 0.1}
    play = site.play(name, **study_lines(backbone()), hospitals=list(FOUR), training=training, **engine)
    round_id = play.open()
    play.hospitals(round_id)
    assert play.absences == {}
    verdicts, model = computed_in_the_clear(site, play, round_id)
    play.decide(round_id)
    return Finished(play, round_id, verdicts, model)


@pytest.fixture(scope="module")
def under_mp_spdz(stripes: Site) -> Finished:
    return finished(stripes, NAME, engine="mp-spdz", protocol="replicated-ring")


@pytest.fixture(scope="module")
def left(stripes: Site, under_mp_spdz: Finished, tmp_path_factory: pytest.TempPathFactory) -> Left:
    return Left(stripes, NAME, (under_mp_spdz.round_id,), tmp_path_factory.mktemp("left"))


def as_the_reference_says(site: Site, after: Finished) -> None:
    record = site.record(after.round_id)
    assert (record["verdicts"], record["new_model"]) == (after.verdicts, after.model)
    assert after.verdicts == dict.fromkeys(FOUR, "accepted") | {ELM: "rejected"}
    site.audits(after.round_id)


@pytest.mark.spu
def test_a_round_under_spu_rejects_the_flipper_alone_as_the_reference_does(stripes: Site) -> None:
    as_the_reference_says(stripes, finished(stripes, "stripes_spu"))


@pytest.mark.mp_spdz
def test_a_round_under_mp_spdz_rejects_the_flipper_alone_as_the_reference_does(
    stripes: Site, under_mp_spdz: Finished
) -> None:
    as_the_reference_says(stripes, under_mp_spdz)


@pytest.mark.mp_spdz
def test_the_stages_of_a_reproduction_come_to_the_round_and_refuse_another_backbone(
    stripes: Site, under_mp_spdz: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = stripes
    round_id = under_mp_spdz.round_id
    where = {"WARDROUND_HOME": str(site.settings.home), "WARDROUND_STUDIES": str(site.settings.studies)}
    for variable, folder in where.items():
        monkeypatch.setenv(variable, folder)
    study = site.settings.studies / f"{NAME}.yaml"
    outcome = tmp_path / "outcome.json"
    record, model = _started_from(site, round_id, tmp_path)
    for name in FOUR:
        validation = tmp_path / f"{name}.json"
        ingest.main(study=study, hospital=name, out=validation)
        said = site.said(round_id, Kind.VALIDATION, name).body
        assert json.loads(validation.read_bytes())["dataset_version"] == said["dataset_version"]
        update = tmp_path / f"{name}.npy"
        train.update(study=study, hospital=name, model=model, round_id=round_id, rounds_finished=0, out=update)
    reproduce.main(study, record, model, rounds_finished=0, updates=tmp_path, out=outcome)
    assert json.loads(outcome.read_bytes())["model_sha256"] == under_mp_spdz.model

    file = backbone_path(site.settings.hospital(ASTER), sha256(backbone()))
    write_atomic(file, OTHER)
    command = [sys.executable, "-m", "pipeline.ingest", "--study", study, "--hospital", ASTER, "--out", outcome]
    try:
        # In a process of its own, as `dvc repro` does: one that has run a backbone has it open.
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    finally:
        write_atomic(file, backbone())
    printed = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1, printed
    assert f"backbone: got a file with SHA-256 {sha256(OTHER)}, want {sha256(backbone())}" in printed
    assert "Traceback" not in printed


def _started_from(site: Site, round_id: RoundId, folder: Path) -> tuple[Path, Path]:
    """Files of a round's record and of the model that it started from."""
    state = site.ledger.round(round_id)
    assert state.finalised is not None
    record = folder / "record.json"
    record.write_bytes(site.board().fetch(object_keys.record(round_id), state.finalised.record))
    model = folder / "model.safetensors"
    model.write_bytes(site.board().fetch(object_keys.model(), state.opened.previous_model))
    return record, model


@pytest.mark.mp_spdz
def test_the_exported_file_answers_each_record_as_predict_does(stripes: Site, left: Left) -> None:
    predictor = Predictor.open(NAME, ASTER, stripes.settings)
    source = predictor.study.source
    questions = source.questions(records_folder(stripes.settings.hospital(ASTER), NAME))
    given = source.preparation["input"]
    session = onnxruntime.InferenceSession(left.file(FORMS["onnx"]), providers=["CPUExecutionProvider"])
    answers = predictor.predict(questions)
    assert len(answers) == len(questions) == PICTURES
    for levels, wanted in zip(questions.values.reshape(-1, 1, *given["shape"][1:]), answers, strict=True):
        labels, shares = session.run(["label", "shares"], {given["name"]: levels})
        assert source.classes[labels[0]] == wanted.label, wanted.record
        np.testing.assert_allclose(shares[0], [wanted.shares[name] for name in source.classes], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        (None, "nor a file public.onnx with that digest beside the study"),
        (OTHER, "somebody changed the object"),
    ],
    ids=["missing", "altered"],
)
def test_a_hospital_for_which_the_store_has_no_such_backbone_approves_nothing(
    stripes: Site, held: bytes | None, wanted: str
) -> None:
    site = stripes
    wanting = written(graph(channels=2 if held is None else 4))
    if held is not None:
        place = object_keys.backbone()
        # As its operator can: nobody's client writes under a key of another digest.
        site.store()._client.put_object(Bucket=place.bucket, Key=place.key(sha256(wanting)), Body=held, IfNoneMatch="*")
    name = "lacking" if held is None else "altered"
    file: Path = site.settings.studies / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**STUDY, **study_lines(wanting), "hospitals": list(FOUR)}, sort_keys=False))
    where = {"WARDROUND_HOME": str(site.settings.home), "WARDROUND_STUDIES": str(site.settings.studies)}
    try:
        said = CliRunner().invoke(commands, ["study", "approve", name, "--as", ASTER], env=where)
    finally:
        file.unlink()
    assert said.exit_code != 0
    assert isinstance(said.exception, EvidenceRejected)
    assert wanted in str(said.exception)
    home = site.settings.hospital(ASTER)
    assert not backbone_path(home, sha256(wanting)).exists()
    assert not (home / "decisions" / name).exists()
