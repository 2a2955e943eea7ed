"""A folder that is whole or not there, a card that model hubs read, and whom an export refuses."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.consent import consent_log
from pipeline.domain import HospitalName, Verdict
from pipeline.errors import Misconfigured, Refused
from pipeline.evidence.canonical import sha256
from pipeline.export import hub_card, taking_out
from pipeline.export.forms import FORMS
from pipeline.export.taking_out import write_folder
from pipeline.measures.confusion import Confusion
from pipeline.measures.intervals import LEVEL
from pipeline.measures.scores import Histogram, Scores
from pipeline.report.round_view import RoundView
from pipeline.site.identity import Identity
from pipeline.views import model_card
from pipeline.views.model_card import WARNING
from pipeline.views.observer import Observer
from tests.adversary import attack

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


def card(left: Left, seen: RoundView) -> str:
    """The card of the study's model if its last round were seen so."""
    content = left.content()
    of = model_card.card(content.approved, seen, sha256(content.model.to_bytes()), 2, content.model.scale)
    return hub_card.markdown(of, seen, content, SAFETENSORS, {})


def test_a_card_has_what_scores_tell_and_why_the_study_ended(left: Left) -> None:
    from huggingface_hub import ModelCard

    classes = left.study.source.classes
    scores = Scores(classes, (Histogram((0, 0, 0, 0, 2, 3, 3, 4, 4, 4), (8, 5, 3, 2, 2, 1, 1, 0, 0, 0)),))
    matrix = Confusion(classes, ((20, 2), (2, 18)))
    mine = view(left)
    rows = tuple(replace(row, correct=38, tested=42, confusion=matrix, scores=scores) for row in mine.hospitals)
    seen = replace(mine, hospitals=rows, concluded="most_rounds")
    text = card(left, seen)
    assert "- It is the study's last: its nodes gave the reason most\\_rounds." in text
    measures = seen.measures
    assert measures is not None
    results = ModelCard(text).data.eval_results
    assert results is not None
    told = {(one.dataset_name, one.metric_name): one for one in results}
    for of_class in measures.classes:
        assert of_class.discrimination is not None
        assert of_class.calibration is not None
        numbers = {
            "AUC": of_class.discrimination.auc,
            "calibration error": of_class.calibration.error,
            "Brier score": of_class.calibration.brier,
        }
        assert f"| {' | '.join(number.decimal for number in numbers.values())} |" in text
        for name, number in numbers.items():
            metric = told["test records of all hospitals", f"{name} of {of_class.name}"]
            assert metric.metric_value == round(number.value, 4)
            assert metric.metric_args["confidence_level"] == LEVEL
            assert [metric.metric_args[end] for end in ("low", "high")] == [round(number.low, 4), round(number.high, 4)]
    assert told["test records of aster", "AUC"].metric_type == "roc_auc"


@attack(
    by="hospital",
    to="change",
    tries="to write a link, a picture or a table of its own into the card of an exported model, by what it signed",
    costs="nothing",
    seen="its words as it signed them, as mere text",
)
def test_a_hospitals_words_are_text_on_the_card(left: Left) -> None:
    from markdown_it import MarkdownIt

    mine = view(left)
    words = "<img src=x> | ![a](b) [c](http://d.com) www.e.com https://f.com `g` **h** &lt;i&gt;"
    own = Confusion((words, "<b>"), ((3, 3), (3, 3)))
    rows = tuple(
        replace(row, verdict=Verdict.ABSENT, reason=words, rows=words, correct=6, tested=12, confusion=own)
        for row in mine.hospitals
    )
    text = card(left, replace(mine, hospitals=rows))
    header, body = text.removeprefix("---\n").split("\n---\n", 1)
    assert words not in header
    page = MarkdownIt("gfm-like").render(body)
    for sign in ("<img", "<a ", "<strong>h", "<code>g", "<b>"):
        assert sign not in page
    assert page.count(html.escape(words)) == 2 * len(rows)


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
