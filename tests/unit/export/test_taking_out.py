"""A folder that is whole or not there, a card that model hubs read, and whom an export refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.consent import consent_log
from pipeline.domain import HospitalName
from pipeline.errors import Misconfigured, Refused
from pipeline.export import taking_out
from pipeline.export.forms import FORMS
from pipeline.export.taking_out import write_folder
from pipeline.report.round_view import RoundView
from pipeline.site.identity import Identity
from pipeline.views.model_card import WARNING
from pipeline.views.observer import Observer

from .conftest import NAME, Left

pytestmark = pytest.mark.timeout(1800)

SAFETENSORS = FORMS["safetensors"]
FILES = {"model.onnx": b"model", "README.md": b"card"}


def view(left: Left) -> RoundView:
    return Observer.open(left.site.settings).view(left.rounds[1])


def test_a_hubs_own_reader_finds_every_measure_with_its_interval(left: Left) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard((left.exported(SAFETENSORS) / "README.md").read_text())
    results = card.data.eval_results
    assert results is not None
    mine = view(left)
    by_name = {(one.dataset_name, one.metric_name): one for one in results}
    pooled = by_name["test records of all hospitals", "accuracy"]
    assert pooled.metric_value == round(mine.accuracy or 0, 4)
    assert pooled.metric_args["low"] < pooled.metric_value < pooled.metric_args["high"]
    for row in mine.hospitals:
        assert row.measures is not None
        for of_class in row.measures.classes:
            told = by_name[f"test records of {row.name}", f"sensitivity of {of_class.name}"]
            assert of_class.sensitivity is not None
            assert told.metric_value == of_class.sensitivity.to_json()["value"]
    assert card.data.library_name == "safetensors"
    assert card.data.pipeline_tag == "tabular-classification"
    assert WARNING in card.text


def test_the_card_says_who_took_part_what_it_is_worth_and_where_it_comes_from(left: Left) -> None:
    folder = left.exported(SAFETENSORS)
    card = json.loads((folder / "card.json").read_text())
    mine = view(left)
    assert card["round"] == left.rounds[1]
    assert card["rounds"] == 2
    assert card["model"] == mine.model
    assert {name: (row["verdict"], row["correct"]) for name, row in card["hospitals"].items()} == {
        row.name: (row.verdict.value, row.correct) for row in mine.hospitals
    }
    assert set(card["files"]) == {SAFETENSORS.file, "preparation.json", "proof.zip"}
    assert card["warning"] == WARNING
    assert card["limits"]


def test_nothing_is_written_over(tmp_path: Path) -> None:
    write_folder(tmp_path / "out", FILES)
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == FILES
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").symlink_to(tmp_path / "out")
    for name in ("out", "file", "link", "folder"):
        with pytest.raises(Refused, match="is there already"):
            write_folder(tmp_path / name, FILES)
    assert not (tmp_path / "nowhere").exists()
    assert (tmp_path / "file").read_text() == "mine"


def test_a_half_written_export_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        if data == b"card":
            raise OSError(28, "No space left on device")
        path.write_bytes(data)

    monkeypatch.setattr(taking_out, "write_atomic", full)
    with pytest.raises(Misconfigured, match="No space left on device"):
        write_folder(tmp_path / "out", FILES)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Misconfigured, match="cannot be made"):
        write_folder(tmp_path / "no" / "folder", FILES)


def test_what_is_there_is_refused_before_any_work(left: Left, tmp_path: Path) -> None:
    said = left.run("model", "export", NAME, "--format", "onnx", "--out", str(tmp_path))
    assert isinstance(said.exception, Refused)
    assert "is there already" in str(said.exception)


def test_a_round_of_another_study_and_a_study_without_a_model_are_refused(left: Left, tmp_path: Path) -> None:
    left.site.play("waiting", hospitals=["aster", "birch", "cedar"])
    for arguments, said in (
        ((NAME, "--round", "99"), "round 99: is none of study leaving"),
        (("waiting",), "no round has ended in a model yet"),
    ):
        refused = left.run("model", "export", *arguments, "--format", "safetensors", "-o", str(tmp_path / "out"))
        assert isinstance(refused.exception, Refused)
        assert said in str(refused.exception)
    assert not (tmp_path / "out").exists()


def test_a_machine_without_torch_takes_the_form_that_needs_none(
    left: Left, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.export.forms.onnx_form.Onnx.packages", ("torch-that-is-not-there",))
    said = left.run("model", "export", NAME, "--format", "onnx", "-o", str(tmp_path / "out"))
    assert isinstance(said.exception, Misconfigured)
    assert "got no package torch-that-is-not-there" in str(said.exception)


def test_the_terms_of_a_round_outlive_the_studys_file(left: Left, tmp_path: Path) -> None:
    path = left.site.settings.studies / f"{NAME}.yaml"
    text = path.read_text()
    try:
        aster = Identity.load(left.site.settings.hospital(HospitalName("aster")))
        consent_log.publish(left.site.store(aster.home), aster, left.study)
        path.write_text(text.replace("A study of the tests", "A title of tomorrow"))
        left.site.approve(left.study)
        said = left.run("model", "export", NAME, "--format", "safetensors", "-o", str(tmp_path / "out"))
        assert said.exit_code == 0, (said.output, said.exception)
    finally:
        path.write_text(text)
    assert (tmp_path / "out" / SAFETENSORS.file).read_bytes() == left.file(SAFETENSORS)
