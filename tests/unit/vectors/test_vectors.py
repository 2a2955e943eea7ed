"""The vectors for a second implementation are what the code says, to the last character."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vectors import files
from tests.vectors.__main__ import main

VECTORS = [(form, name) for form in files.FORMATS for name in files.read(form)]


@pytest.mark.parametrize(("form", "name"), VECTORS, ids=[f"{form} {name}" for form, name in VECTORS])
def test_the_code_takes_and_refuses_what_a_vector_says(form: str, name: str) -> None:
    vector = files.read(form)[name]
    outcome = files.outcome(files.load(form), name, vector["given"])
    # As JSON has it: a tuple is a list there.
    assert json.loads(json.dumps(outcome)) == {part: vector[part] for part in vector if part != "given"}


@pytest.mark.parametrize("form", files.FORMATS)
def test_the_program_would_write_the_same_file_again(form: str) -> None:
    assert files.path(form).read_text() == files.text(form), "run `python -m tests.vectors`"


@pytest.mark.parametrize("form", files.FORMATS)
def test_every_format_has_what_must_pass_and_what_must_not(form: str) -> None:
    vectors = files.read(form)
    assert any("want" in vector for vector in vectors.values())
    assert all(("refused" in vector) is name.startswith("bad_") for name, vector in vectors.items())


def test_no_file_of_vectors_is_left_over() -> None:
    assert {file.stem for file in files.FOLDER.glob("*.json")} == set(files.FORMATS)


def test_a_file_that_is_missing_is_written_and_one_that_differs_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    assert main() == 0
    whole = files.path("shares").read_text()
    files.path("shares").write_text(whole.replace('"42"', '"43"', 1))
    assert main() == 1
    assert "shares.json: got another file than the code gives" in capsys.readouterr().err
