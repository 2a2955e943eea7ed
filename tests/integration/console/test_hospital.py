"""A hospital's own pages.

Its rounds, its checks and its predictions, which are its commands' and leave nothing behind.
"""

from __future__ import annotations

import html
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from pipeline.cli import commands
from pipeline.datasets.records import records_folder
from pipeline.datasets.table import Table
from pipeline.domain import RoundId
from pipeline.mpc.engines.mp_spdz.workdir import MEMORY
from pipeline.report.round_view import gather, said_so_far
from pipeline.views.model_card import WARNING
from tests.adversary import attack
from tests.support.console import AUDITOR, PROVIDER, client, form_token, of_hospital
from tests.support.consortia import HOSPITALS, Site
from tests.support.rounds import Play

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.spu]

ASTER = HOSPITALS[0]
BIRCH = HOSPITALS[1]
ELM = HOSPITALS[4]

Ask = Callable[..., Any]
"""Its answer is JSON of the command's own form."""


def asking(site: Site, hospital: str) -> TestClient:
    return client(site.settings, of_hospital(hospital))


def form(hospital: str, **fields: object) -> dict[str, object]:
    return {"csrf_token": form_token(f"hospital-{hospital}"), **fields}


def left_behind(site: Site) -> object:
    """All that a question could leave, with uploads in memory and on disk."""
    uploads = {path for folder in (MEMORY, Path(tempfile.gettempdir())) for path in folder.glob("wardround-upload-*")}
    return site.traces(), uploads


@pytest.fixture
def command(town: Site, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """What the `wardround` command answers in JSON."""
    monkeypatch.setenv("WARDROUND_HOME", str(town.settings.home))
    monkeypatch.setenv("WARDROUND_STUDIES", str(town.settings.studies))
    return lambda *arguments, text=None: json.loads(
        CliRunner().invoke(commands, [*arguments, "--json"], input=text).stdout
    )


@attack(
    by="hospital",
    to="learn",
    tries="to see the page of another hospital",
    costs="nothing",
    seen="nothing",
)
def test_a_hospital_sees_its_own_rounds_whatever_it_asks_for(town: Site, play: Play, finished: RoundId) -> None:
    record = town.record(finished)
    assert record["verdicts"][ELM] == "rejected"
    aster = asking(town, ASTER).get("/hospital").text
    assert aster == asking(town, ASTER).get("/hospital", params={"hospital": ELM, "name": ELM, "who": ELM}).text
    for name, page in ((ASTER, aster), (ELM, asking(town, ELM).get("/hospital").text)):
        assert f'<span class="tag {record["verdicts"][name]}">' in page
        assert f'href="/rounds/{finished}/proof.zip"' in page
        assert f"{play.study.name}-" in page  # the data docs, by name
        assert str(town.settings.hospital(name) / "docs") in page
        view = gather(town.ledger.round(finished), town.ledger, town.store())
        (own,) = [row for row in view.hospitals if row.name == name]
        assert f"{own.correct} of {own.tested}, signed" in page
        for other in set(play.study.hospitals) - {name}:
            assert str(town.settings.hospital(other)) not in page
            assert f"--as {other}" not in page


def test_before_a_round_has_a_result_the_page_reads_what_the_hospital_published(town: Site, finished: RoundId) -> None:
    view = gather(town.ledger.round(finished), town.ledger, town.store())
    row = next(row for row in view.hospitals if row.name == ASTER)
    said = said_so_far(view, ASTER, town.members.hospital(ASTER), town.store())
    assert (said.rows, said.validated, said.dataset_version, said.failed) == (
        row.rows,
        row.validated,
        row.dataset_version,
        row.failed,
    )
    assert said.validated
    assert said_so_far(view, ASTER, town.members.hospital(BIRCH), town.store()).validated is None


@pytest.mark.parametrize("path", ["/hospital", "/hospital/check", "/hospital/predict"])
def test_these_pages_are_for_hospitals(town: Site, path: str) -> None:
    assert [client(town.settings, who).get(path).status_code for who in (PROVIDER, AUDITOR, None)] == [403, 403, 303]


def test_checked_records_are_told_what_the_command_tells_and_nothing_is_left(
    town: Site, play: Play, finished: RoundId, command: Ask
) -> None:
    study = play.study.name
    before = left_behind(town)
    file = records_folder(town.settings.hospital(BIRCH), "breast_cancer") / "records.csv"
    kept = file.read_text()
    try:
        lines = kept.splitlines()
        file.write_text(
            "\n".join([lines[0], "x" + lines[1][lines[1].index(",") :].replace(",", ",-7", 2), *lines[2:9]]) + "\n"
        )
        told = command("data", "check", str(file.parent), "--study", study)
        page = (
            asking(town, BIRCH)
            .post("/hospital/check/data", data=form(BIRCH, study=study, records="breast_cancer"))
            .text
        )
    finally:
        file.write_text(kept)
    assert not told["passed"]
    assert "They would not pass." in page
    for sentence in told["failures"].values():
        assert html.escape(sentence) in html.unescape(page) or sentence in html.unescape(page)
    assert left_behind(town) == before


def test_a_checked_model_is_told_what_the_command_tells_and_nothing_is_left(
    town: Site, play: Play, finished: RoundId, command: Ask
) -> None:
    study = play.study.name
    before = left_behind(town)
    told = command("model", "check", study, "--as", ASTER)
    page = html.unescape(asking(town, ASTER).post("/hospital/check/model", data=form(ASTER, study=study)).text)
    assert [finding["sentence"] in page for finding in told["findings"]] == [True] * len(told["findings"])
    assert ("Nothing here speaks against it." in page) is told["passed"]
    assert left_behind(town) == before


def test_the_model_beside_own_ones_is_told_as_the_command_tells_it_and_nothing_is_left(
    town: Site, play: Play, finished: RoundId, command: Ask
) -> None:
    study = play.study.name
    before = left_behind(town)
    told = command("model", "compare", study, "--as", ASTER)
    page = asking(town, ASTER).post("/hospital/predict/compare", data=form(ASTER, study=study)).text
    assert page.count("data-rival") == len(told["rivals"]) == 5
    assert all(f"{rival['measures']['balanced_accuracy']['value']:.1%}".rstrip("%") in page for rival in told["rivals"])
    assert left_behind(town) == before


@pytest.mark.parametrize(
    "name", ["../../birch/data/records/breast_cancer", "..", "/etc/passwd", "breast_cancer.dvc", ".gitignore", ""]
)
@attack(
    by="hospital",
    to="learn",
    tries="to have the console read files outside its folder",
    costs="nothing",
    seen="nothing: the form is refused",
)
def test_only_what_lies_in_the_hospital_s_own_folder_can_be_checked(town: Site, play: Play, name: str) -> None:
    pages = asking(town, ASTER)
    study = play.study.name
    answers = [pages.post("/hospital/check/data", data=form(ASTER, study=study, records=name))]
    if name:  # without a name it is the model that would be trained
        answers.append(pages.post("/hospital/check/model", data=form(ASTER, study=study, model=name)))
    assert {answer.status_code for answer in answers} == {422}


@attack(
    by="foreign_hospital",
    to="learn",
    tries="to try its records and models on a study that does not name it",
    costs="nothing",
    seen="nothing: the form is refused",
)
def test_a_study_that_does_not_name_the_hospital_is_none_of_its(town: Site, play: Play) -> None:
    fern = HOSPITALS[5]
    study = play.study.name
    pages = asking(town, fern)
    assert pages.post("/hospital/check/data", data=form(fern, study=study, records="breast_cancer")).status_code == 422
    assert pages.post("/hospital/check/model", data=form(fern, study=study)).status_code == 422
    assert pages.post("/hospital/predict/row", data=form(fern, study=study, cell="1")).status_code == 409
    for field in ("hospital", "who", "as", "role"):
        assert pages.post("/hospital/check/model", data=form(fern, study=study) | {field: ASTER}).status_code == 422
    for path in ("check/data", "check/model", "predict/row", "predict/files"):
        assert pages.post(f"/hospital/{path}", data={"study": study, "records": "breast_cancer"}).status_code == 403


def test_uploaded_rows_are_predicted_as_by_the_command_with_card_and_warning_and_nothing_is_left(
    town: Site, play: Play, finished: RoundId, command: Ask
) -> None:
    from plugins.console.page import percent

    study = play.study.name
    before = left_behind(town)
    file = records_folder(town.settings.hospital(ASTER), "breast_cancer") / "records.csv"
    told = command("predict", study, str(file), "--as", ASTER)
    upload = {"files": ("rows.csv", file.read_bytes(), "text/csv")}
    page = asking(town, ASTER).post("/hospital/predict/files", data=form(ASTER, study=study), files=upload).text
    for answer in told["answers"]:
        cells = "".join(f'<td class="number">{percent(share)}</td>' for share in answer["shares"].values())
        assert f'<tr><th scope="row">{answer["record"]}</th><td>{answer["label"]}</td>{cells}</tr>' in page
    card = told["card"]
    assert card["model"] == town.record(finished)["new_model"]
    for said in (
        WARNING,
        card["model"],
        card["transaction"],
        percent(card["accuracy"]),
        "Development chain",
        card["source"],
    ):
        assert said in html.unescape(page)
    for counts in card["hospitals"].values():
        assert f'<td class="number">{counts["correct"]}</td><td class="number">{counts["tested"]}</td>' in page
    assert left_behind(town) == before


def test_a_typed_row_is_predicted_as_by_the_command_and_a_wrong_one_told_by_its_columns(
    town: Site, play: Play, finished: RoundId, command: Ask
) -> None:
    from plugins.console.page import percent

    study = play.study.name
    pages = asking(town, ASTER)
    source = play.study.source
    assert isinstance(source, Table)
    row = {column.name: round(column.mean, 3) for column in source.columns}
    typed = list(map(str, row.values()))
    told = command("predict", study, "-", "--as", ASTER, text=json.dumps(row))
    page = pages.post("/hospital/predict/row", data=form(ASTER, study=study, cell=typed)).text
    (answer,) = told["answers"]
    assert f"<td>{answer['label']}</td>" in page
    assert percent(max(answer["shares"].values())) in page
    wrong = pages.post("/hospital/predict/row", data=form(ASTER, study=study, cell=["<b>x</b>", "", *typed[2:]]))
    assert wrong.status_code == 422
    assert "mean radius is no number" in wrong.text
    assert "mean texture is empty" in wrong.text
    assert "<b>x</b>" not in wrong.text


def test_where_the_folder_is_elsewhere_the_pages_give_the_commands(town: Site, play: Play, finished: RoundId) -> None:
    key = town.settings.hospital(BIRCH) / "signing-key"
    away = key.rename(key.with_name("away"))
    try:
        pages = asking(town, BIRCH)
        assert f"wardround model check {play.study.name} --as birch" in pages.get("/hospital/check").text.replace(
            "everybody", play.study.name
        )
        predict = pages.get("/hospital/predict", params={"study": play.study.name}).text
        assert f"wardround predict {play.study.name} FILE --as birch" in predict
        assert 'type="file"' not in predict
        assert "--as birch" in pages.get("/hospital").text
        upload = {"files": ("rows.csv", b"a,b\n", "text/csv")}
        answer = pages.post("/hospital/predict/files", data=form(BIRCH, study=play.study.name), files=upload)
        assert answer.status_code == 422
        assert "is not on this machine" in answer.text
    finally:
        away.rename(key)
