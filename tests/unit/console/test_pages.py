from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.domain import Kind, RoundId
from pipeline.errors import Unavailable
from pipeline.evidence import signing
from pipeline.export.forms import FORMS
from pipeline.store import object_keys
from pipeline.views.model_card import WARNING
from plugins.console import command
from tests.support.archive import Archive, many
from tests.support.console import AUDITOR, PROVIDER, form_token
from tests.support.figures import figures, read
from tests.support.finished_rounds import key, with_subgroups


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Two finished rounds; nothing changes them."""
    made = Archive(tmp_path_factory.mktemp("archive") / "home")
    made.maker.finish(RoundId(1), rejected=["hillside"])
    made.maker.finish(RoundId(2), rejected=["hillside"], absent=["westbrook"], signers=["alder", "cedar"])
    return made


@pytest.fixture
def long(archive: Archive, tmp_path: Path) -> Archive:
    """A hundred and twenty rounds like the second."""
    made = Archive(tmp_path / "home")
    made.pretend(many(archive.index.get(RoundId(2)), 120))
    return made


@pytest.fixture
def own(tmp_path: Path) -> Archive:
    """Two rounds to be spoilt."""
    made = Archive(tmp_path / "home")
    made.maker.finish(RoundId(1))
    made.maker.finish(RoundId(2))
    return made


def rounds(page: str) -> list[str]:
    return list(dict.fromkeys(figure.of["round"] for figure in read(page) if "round" in figure.of))


def test_a_list_comes_in_pages_that_keep_its_filter(long: Archive) -> None:
    pages = long.pages(AUDITOR)
    first = pages.get("/rounds?study=wisconsin").text
    last = pages.get("/rounds?study=wisconsin&page=3").text
    assert rounds(first) == [str(number) for number in range(120, 70, -1)]
    assert rounds(last) == [str(number) for number in range(20, 0, -1)]
    assert 'href="?study=wisconsin&amp;page=2"' in first
    assert 'rel="next"' not in last
    assert rounds(pages.get("/rounds?study=wisconsin&page=99").text) == rounds(last)
    assert "No round fits this filter" in pages.get("/rounds?status=aborted").text


@pytest.mark.parametrize("query", ["?page=0", "?page=x", "?status=gone", "?study=" + "x" * 65])
def test_a_filter_that_cannot_be_is_refused_in_words(archive: Archive, query: str) -> None:
    answer = archive.pages(AUDITOR).get(f"/rounds{query}")
    assert answer.status_code == 422
    assert "cannot be read" in answer.text


def test_an_address_of_no_page_is_said_in_words(archive: Archive) -> None:
    answer = archive.pages(AUDITOR).get("/nowhere")
    assert answer.status_code == 404
    assert "There is no such page" in answer.text


def test_the_poisoning_page_filters_by_hospital_verdict_and_rounds_and_sums_up(archive: Archive, long: Archive) -> None:
    page = archive.pages(AUDITOR).get("/poisoning?study=&hospital=hillside&verdict=&from=&to=").text
    assert {name: figure.text for name, figure in figures(page, hospital="hillside").items()} == {
        "accepted": "0",
        "rejected": "2",
        "absent": "0",
    }
    assert "2 of 2 in 2 rounds, 100.0 %" in page
    assert rounds(long.pages(AUDITOR).get("/poisoning?verdict=absent&from=7&to=9").text) == ["9", "8", "7"]
    assert "No verdict fits this filter" in archive.pages(AUDITOR).get("/poisoning?from=3").text


def test_the_csv_holds_the_rows_of_the_filter(archive: Archive) -> None:
    answer = archive.pages(PROVIDER).get("/poisoning.csv?to=1")
    found = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-disposition"] == 'attachment; filename="wardround-verdicts.csv"'
    assert [(row["round"], row["hospital"], row["verdict"]) for row in found] == [
        ("1", name, "rejected" if name == "hillside" else "accepted") for name in archive.of.hospitals
    ]
    assert found[-1]["strikes"] == "1"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", '=HYPERLINK("http://x")'])
def test_no_cell_of_the_csv_is_a_formula(archive: Archive, tmp_path: Path, text: str) -> None:
    made = Archive(tmp_path / "home")
    view = archive.index.get(RoundId(1))
    made.pretend(
        [replace(view, hospitals=tuple(replace(row, failed=(text,), validated=False) for row in view.hospitals))]
    )
    found = list(csv.DictReader(io.StringIO(made.pages(AUDITOR).get("/poisoning.csv").text)))
    assert {row["failed_expectations"] for row in found} == {f"'{text}"}


def test_what_a_hospital_wrote_is_text_on_every_page(archive: Archive, tmp_path: Path) -> None:
    made = Archive(tmp_path / "home")
    view = archive.index.get(RoundId(2))
    script = "<script>alert(1)</script>"
    rows = tuple(
        replace(row, failed=(script,), rows=script, dataset_version=script, reason=script) for row in view.hospitals
    )
    made.pretend([replace(view, hospitals=rows)])
    for path in ("/rounds", "/rounds/2", "/poisoning", "/accuracy"):
        assert script not in made.pages(AUDITOR).get(path).text


def test_a_round_draws_what_scores_tell_and_names_every_hospital_that_told_them(archive: Archive) -> None:
    page = archive.pages(AUDITOR).get("/rounds/2").text
    of_model = archive.index.get(RoundId(2)).measures
    assert of_model is not None
    assert of_model.auc is not None
    assert page.count('class="chart square"') == 2
    assert f"Area below the curve {of_model.auc.decimal}." in page
    assert "Expected calibration error" in page
    assert page.count("data-measured") == len(archive.of.hospitals)
    assert " style=" not in page


def test_one_round_that_does_not_hold_spoils_no_other(own: Archive) -> None:
    state = own.ledger.round(RoundId(1))
    assert state.result
    place = object_keys.record(RoundId(1))
    own.store.flip(place.bucket, place.key(state.result.record))
    pages = own.pages(AUDITOR)
    listed = pages.get("/rounds")
    assert listed.status_code == 200
    assert rounds(listed.text) == ["2"]
    assert "What is stored of round 1 does not hold." in listed.text
    assert pages.get("/rounds/1").status_code == 422
    assert pages.get("/rounds/1/audit").status_code == 200


def test_a_page_waits_for_the_newest_rounds_and_the_others_are_read_meanwhile(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "home", hospitals=3)
    for number in range(1, 11):
        archive.maker.finish(RoundId(number))
    first = archive.index.all()
    assert [view.round for view in first.rounds[:8]] == list(range(10, 2, -1))
    assert len(first.rounds) + first.unread == 10
    assert archive.index._reader
    archive.index._reader.join()
    then = archive.index.all()
    assert ([view.round for view in then.rounds], then.unread) == (list(range(10, 0, -1)), 0)


def test_a_chain_that_was_put_back_is_read_anew(own: Archive) -> None:
    assert [view.round for view in own.index.all().rounds] == [2, 1]
    del own.ledger.states[RoundId(2)]
    own.ledger.block = own.ledger.round(RoundId(1)).opened.location.block + 2
    assert [view.round for view in own.index.all().rounds] == [1]
    assert own.pages(AUDITOR).get("/rounds/2").status_code == 404


def test_a_study_without_a_round_says_what_comes_first(tmp_path: Path) -> None:
    pages = Archive(tmp_path / "home").pages(AUDITOR)
    for path in ("/rounds", "/accuracy", "/poisoning"):
        answer = pages.get(path)
        assert answer.status_code == 200
        assert 'class="empty"' in answer.text


def test_accuracy_is_drawn_and_listed_per_round(archive: Archive) -> None:
    page = archive.pages(AUDITOR).get("/accuracy?study=wisconsin").text
    for number in (1, 2):
        view = archive.index.get(RoundId(number))
        shown = figures(page, round=str(number))
        assert shown["accuracy"].value == repr(view.accuracy)
        assert (shown["correct"].text, shown["tested"].text) == (str(view.correct), str(view.tested))
        assert f"<title>Round {number}: {100 * (view.accuracy or 0):.1f} %</title>" in page
    assert 'role="img" aria-labelledby="history-title history-desc"' in page
    assert (
        "No round of a study called “other” is on the ledger."
        in archive.pages(AUDITOR).get("/accuracy?study=other").text
    )


def test_baselines_show_each_model_or_the_command_that_measures(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = archive.pages(AUDITOR).get("/baselines").text
    for name in ("SVM", "Logistic regression", "Decision tree"):
        assert f"<title>{name}, each hospital alone: " in page
    assert "<title>Network, federated: " in page
    monkeypatch.setattr("plugins.console.pages.baselines.RESULTS", tmp_path)
    page = archive.pages(AUDITOR).get("/baselines").text
    assert "Nothing was measured on this machine yet." in page
    assert "dvc repro baselines@breast_cancer" in page
    (tmp_path / "torn.json").write_text('{"study": ')
    assert "torn.json cannot be read" in archive.pages(AUDITOR).get("/baselines").text


def test_the_timeline_shows_transactions_and_who_voted_what(archive: Archive) -> None:
    page = archive.pages(AUDITOR).get("/rounds/2/timeline").text
    state = archive.ledger.round(RoundId(2))
    assert state.committed
    assert state.finalised
    for step, event in (("opened", state.opened), ("committed", state.committed), ("finalised", state.finalised)):
        shown = figures(page, step=step)
        assert (shown["block"].text, shown["transaction"].text) == (
            str(event.location.block),
            event.location.transaction,
        )
    votes = {name: figures(page, node=name) for name in archive.of.nodes}
    assert {name: vote["said"].text for name, vote in votes.items()} == dict.fromkeys(archive.of.nodes, "this result")
    assert {name: vote["counted"].text for name, vote in votes.items()} == {
        "alder": "yes",
        "birch": "no",
        "cedar": "yes",
    }
    assert figures(page, hospital="westbrook")["validation"].text == "failed at least 10 samples of each class"


def test_a_node_that_voted_for_something_else_twice_or_not_at_all_is_named(own: Archive) -> None:
    result = own.ledger.round(RoundId(2)).result
    ledger = own.maker.members.ledger
    assert result
    other = replace(result, new_model=result.previous_model)
    place = {name: object_keys.statement(RoundId(2), Kind.VOTE, name) for name in own.of.nodes}
    for name in own.of.nodes:
        for bucket, stored in list(own.store.objects):
            if name != "birch" and stored.startswith(place[name].prefix):
                del own.store.objects[bucket, stored]
    for name in ("alder", "birch"):
        vote = signing.sign_vote(name, other, ledger.chain_id, own.ledger.contract, key(name))
        own.maker.post(object_keys.statement(RoundId(2), Kind.VOTE, vote.signer), signing.to_bytes(vote))  # type: ignore[arg-type]
    page = own.pages(AUDITOR).get("/rounds/2/timeline").text
    said = {name: figures(page, node=name)["said"].text for name in own.of.nodes}
    assert said["alder"].startswith("another result")
    assert said["birch"].startswith("two decisions")
    assert said["cedar"] == "no vote"


def test_an_audit_tells_what_others_wrote_over_the_evidence(own: Archive) -> None:
    stored = next(name for bucket, name in own.store.objects if name.startswith(object_keys.record(RoundId(2)).prefix))
    own.store.put(object_keys.REPORTS, stored, b"what an operator prefers")
    page = own.pages(AUDITOR).post("/rounds/2/audit", data={"csrf_token": form_token(AUDITOR.login)}).text
    assert figures(page)["finding"].text.startswith(f"{object_keys.REPORTS}/{stored}: got 2 versions")


def test_a_digest_is_a_rounds_model_a_studys_first_or_none(archive: Archive) -> None:
    pages = archive.pages(AUDITOR)
    first = archive.index.get(RoundId(1))
    last = archive.index.get(RoundId(2))
    assert last.model
    assert "It is the study's current model." in pages.get(f"/which-model?sha256=%20{last.model.upper()}").text
    assert "it is not the study's current model" in pages.get(f"/which-model?sha256={first.model}").text
    assert "This is an initial model" in pages.get(f"/which-model?sha256={first.previous_model}").text
    assert "This is the model of no round." in pages.get(f"/which-model?sha256={'0' * 64}").text
    assert "is no SHA-256 digest" in pages.get("/which-model?sha256=round-1").text


def test_reports_are_served_by_digest_alone_and_run_nothing(own: Archive) -> None:
    page = own.maker.post(object_keys.report(RoundId(1), "html"), b"<script>alert(1)</script>")
    pages = own.pages(AUDITOR)
    answer = pages.get(f"/rounds/1/report/{page}.html")
    assert answer.text == "<script>alert(1)</script>"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    for path in (f"/rounds/2/report/{page}.html", f"/rounds/1/report/{page}.csv"):
        assert pages.get(path).status_code == 404
    for path in (
        "/rounds/1/report/..%2f..%2fsecrets.html",
        f"/rounds/1/report/{page}.py",
        "/rounds/1/report/%2e%2e/x.json",
    ):
        assert pages.get(path).status_code in (404, 422)


def test_an_aborted_round_says_why_and_what_each_node_saw(own: Archive) -> None:
    third = RoundId(3)
    own.maker.open(third)
    for name in ("hillside", "westbrook"):
        own.maker.say(third, Kind.MANIFEST, name, {"of": name})
    saw = {
        "stage": "aggregate",
        "saw": "TooFew: <b>2</b> hospitals accepted",
        "waited_for": None,
        "absent": {"hillside": "rejected"},
        "blamed": ["hillside"],
    }
    own.maker.say(third, Kind.CAUSE, "alder", saw)
    own.maker.say(
        third,
        Kind.CAUSE,
        "cedar",
        saw | {"waited_for": {"kind": "Inventory", "nodes": ["birch"]}, "saw": 5, "stage": ["no"]},
    )
    own.ledger.abort(third, key("hillside").address)
    page = own.pages(AUDITOR).get("/rounds/3").text
    assert "Too few hospitals were accepted." in page
    assert "A strike for" in page
    assert figures(page)["blamed"].text == "hillside"
    assert "TooFew: &lt;b&gt;2&lt;/b&gt; hospitals accepted" in page
    assert page.count("said nothing about this round") == 2
    assert figures(page, hospital="hillside")["named"].text == "the nodes rejected its update"
    assert "alder, cedar" in page
    assert "<td>birch</td>" in page
    timeline = own.pages(AUDITOR).get("/rounds/3/timeline").text
    assert "by 2 nodes, too_few_accepted; the model before stays" in timeline


def test_a_rounds_model_is_offered_in_every_form_with_its_warning(archive: Archive) -> None:
    pages = archive.pages(AUDITOR)
    page = pages.get("/rounds/2/model").text
    assert WARNING in page
    assert figures(page)["model"].text == archive.index.get(RoundId(2)).model
    for form in FORMS:
        assert f'action="/rounds/2/model/{form}"' in page
    assert 'href="/rounds/2/model"' in pages.get("/rounds/2").text
    token = {"csrf_token": form_token(AUDITOR.login)}
    assert pages.post("/rounds/2/model/pickle", data=token).status_code == 422
    assert pages.post("/rounds/99/model/onnx", data=token).status_code == 404
    files = ", ".join(form.file for form in FORMS.values()).replace(", model.safetensors", " or model.safetensors")
    assert f"FILE is {files}:" in page


def test_a_form_that_this_machine_cannot_write_is_for_another_one(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    for form in ("onnx_form.Onnx", "torchscript_form.TorchScript"):
        monkeypatch.setattr(f"pipeline.export.forms.{form}.packages", ("torch-that-is-not-there",))
    page = archive.pages(AUDITOR).get("/rounds/2/model").text
    for form in ("onnx", "torchscript"):
        assert f'action="/rounds/2/model/{form}"' not in page
        there = f"wardround model export {archive.of.name} --round 2 --format {form}"
        assert f"On a hospital's machine: <code>{there}</code>" in page
    assert 'action="/rounds/2/model/safetensors"' in page


def test_a_round_that_measured_the_scale_has_no_model_to_take_out(archive: Archive, tmp_path: Path) -> None:
    made = Archive(tmp_path / "home")
    view = archive.index.get(RoundId(2))
    assert view.record is not None
    made.pretend([replace(view, record=view.record.model_copy(update={"next_budget": None}))])
    pages = made.pages(AUDITOR)
    assert 'href="/rounds/2/model"' not in pages.get("/rounds/2").text
    token = {"csrf_token": form_token(AUDITOR.login)}
    for answer in (pages.get("/rounds/2/model"), pages.post("/rounds/2/model/safetensors", data=token)):
        assert answer.status_code == 409
        assert "measured the scale of the inputs and trained nothing" in answer.text


def test_the_same_export_runs_once_at_a_time_and_another_beside_it(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object, **__: object) -> bytes:
        raise Unavailable("no command in this test")

    monkeypatch.setattr("plugins.console.command.answered", ended)
    lock = archive.settings.home / "exports.lock" / "round-2-onnx"
    lock.mkdir(parents=True, exist_ok=True)
    pages = archive.pages(AUDITOR)
    token = {"csrf_token": form_token(AUDITOR.login)}
    with command.alone(lock, "a test"):
        assert "round-2-onnx: the same export is running" in pages.post("/rounds/2/model/onnx", data=token).text
        for beside in ("/rounds/1/model/onnx", "/rounds/2/model/safetensors"):
            assert "no command in this test" in pages.post(beside, data=token).text
    assert "no command in this test" in pages.post("/rounds/2/model/onnx", data=token).text


def test_a_rounds_page_draws_whom_the_model_fails(tmp_path: Path) -> None:
    made = Archive(tmp_path / "home")
    made.maker.finish(RoundId(1), change=with_subgroups)
    page = made.pages(AUDITOR).get("/rounds/1").text
    assert "Whom the model fails" in page
    assert "Sensitivity of malignant by group of patients" in page
    assert "<title>sex: women: 82.4 % (66.5 to 91.7)</title>" in page
    assert page.count("withheld</td>") == 2
    assert page.count("nobody</td>") == 1
