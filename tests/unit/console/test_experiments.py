from __future__ import annotations

from html import unescape
from pathlib import Path

import pytest

from pipeline.domain import RoundId
from pipeline.site.consortium import Consortium
from pipeline.study import study_diff
from pipeline.study.study import Study
from tests.support.archive import Archive
from tests.support.console import PROVIDER, form_token
from tests.support.figures import figures


def form(**changes: str) -> dict[str, str]:
    """What the provider's page sends for a new study."""
    proposal = {"base": "wisconsin", "name": "slower", "fields": "training: {steps: 8}"}
    return {**proposal, "csrf_token": form_token(PROVIDER.login), **changes}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "home")


def written(archive: Archive) -> list[str]:
    return sorted(file.name for file in archive.settings.studies.iterdir())


def test_a_proposal_is_a_new_study_with_a_digest_of_its_own_and_the_base_stays(archive: Archive) -> None:
    base = archive.settings.studies / "wisconsin.yaml"
    before = base.read_bytes()
    pages = archive.pages(PROVIDER)
    shown = pages.post("/experiments", data=form())
    assert shown.status_code == 200
    assert "<del>-  steps: 12</del>" in shown.text
    assert "<ins>+  steps: 8</ins>" in shown.text
    assert written(archive) == ["wisconsin.yaml"]
    file = pages.post("/experiments/file", data=form())
    answer = pages.post("/experiments/write", data=form())
    assert (answer.status_code, answer.headers["location"]) == (303, "/experiments/slower")
    proposed = archive.settings.studies / "slower.yaml"
    assert file.text == proposed.read_text()
    study = Study.load(proposed)
    assert study == Study.load(base).model_copy(update={"name": "slower", "training": study.training})
    assert study.training.steps == 8
    digest = study.digest(Consortium.load(archive.settings.consortium))
    assert figures(shown.text)["digest"].text == digest
    page = pages.get("/experiments/slower").text
    assert figures(page)["digest"].text == digest
    assert "wardround study approve slower --as NAME" in page
    assert base.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "wisconsin"}, "its file is there already"),
        ({"name": "../evil"}, "2 to 32 of a-z"),
        ({"name": "Slower"}, "2 to 32 of a-z"),
        ({"base": "../../etc/passwd"}, "the name of a study that is there"),
        ({"base": "nowhere"}, "one of the studies there: wisconsin"),
        ({"fields": "training: {steps: 0}"}, "slower.yaml: training.steps: got 0"),
        ({"fields": "hospitals: [northgate]"}, "slower.yaml: hospitals"),
        ({"fields": "misbehaviour: honest"}, "slower.yaml: misbehaviour"),
        ({"fields": "name: other"}, "the name is asked for apart"),
        ({"fields": "training: {}"}, "at least one field that differs"),
        ({"fields": "- steps"}, "fields of a study as in its file"),
        ({"fields": "training: {steps"}, "in plain YAML"),
        ({"fields": "a: &a [1, 1]\nb: [*a, *a]"}, "an anchor or alias"),
        ({"fields": "a: !!python/object/apply:os.system [id]"}, "got &#39;a tag in line 1&#39;"),
        ({"fields": "[" * 5000}, "maximum nesting depth"),
        ({"fields": "when: 2026-99-99"}, "month must be in 1..12"),
        ({"fields": "title: <script>alert(1)</script>\nseed: x"}, "slower.yaml: seed"),
    ],
)
def test_a_proposal_that_does_not_hold_is_refused_with_the_field_and_what_is_allowed(
    archive: Archive, change: dict[str, str], said: str
) -> None:
    pages = archive.pages(PROVIDER)
    answer = pages.post("/experiments", data=form(**change))
    assert answer.status_code == 422
    assert said in answer.text
    assert "<script>alert" not in answer.text
    for path in ("/experiments/write", "/experiments/file"):
        assert pages.post(path, data=form(**change)).status_code in (409, 422)
    assert written(archive) == ["wisconsin.yaml"]


def test_a_form_from_elsewhere_writes_nothing(archive: Archive) -> None:
    for path in ("/experiments", "/experiments/write", "/experiments/file"):
        assert archive.pages(PROVIDER).post(path, data=form(csrf_token="x")).status_code == 403
    assert written(archive) == ["wisconsin.yaml"]


def test_the_form_says_what_every_field_of_a_study_means(archive: Archive) -> None:
    page = unescape(archive.pages(PROVIDER).get("/experiments").text)
    assert [
        path
        for path, field in study_diff.of_study().items()
        if f"<code>{path}</code>" not in page or field.meaning not in page
    ] == []


def finish(archive: Archive, *rounds: int) -> None:
    for number in rounds:
        archive.maker.finish(RoundId(number))


def test_an_experiment_goes_on_from_the_newest_model_of_a_study(archive: Archive) -> None:
    finish(archive, 1, 2)
    pages = archive.pages(PROVIDER)
    asked = form(start="newest", before="", fields="hospitals: [northgate, southmoor, hillside]")
    shown = pages.post("/experiments", data=asked)
    newest = 2
    assert f">round {newest}</a> of wisconsin ended" in shown.text
    assert "Continues the model of round" in shown.text
    assert "leaves. The model has what it learned from" in shown.text
    assert pages.post("/experiments/write", data=asked).status_code == 303
    study = Study.load(archive.settings.studies / "slower.yaml")
    assert study.continues is not None
    assert (study.continues.study, study.continues.round) == ("wisconsin", newest)
    page = pages.get("/studies/slower").text
    assert "What changed since wisconsin, which it continues" in page
    assert f">round {newest}</a> of" in page


def test_an_experiment_goes_on_from_the_model_before_a_round(archive: Archive) -> None:
    finish(archive, 1, 2)
    pages = archive.pages(PROVIDER)
    shown = pages.post("/experiments", data=form(start="before", before="2"))
    assert ">round 1</a> of wisconsin ended" in shown.text
    for before, why in (
        ("1", "the model that the seed draws"),
        ("", "The round: got none"),
        ("999", "999"),
    ):
        refused = pages.post("/experiments", data=form(start="before", before=before))
        assert refused.status_code == 422
        assert why.lower() in unescape(refused.text).lower()
    assert written(archive) == ["wisconsin.yaml"]
