"""What goes wrong in the process that writes a file is raised in kind by the one that asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import (
    EngineFailed,
    EvidenceRejected,
    InvalidStudy,
    Misconfigured,
    ObjectMissing,
    Refused,
    Unavailable,
    WardroundError,
)
from pipeline.export import __main__ as child
from pipeline.export.encoding import KINDS, encoded
from pipeline.export.forms import FORMS
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study

from .test_answers import content

BROKEN = (
    (Misconfigured("first\nsecond"), Misconfigured),
    (InvalidStudy("file", "field", "this", "that"), Misconfigured),
    (Refused("no"), Refused),
    (ObjectMissing("gone"), EvidenceRejected),
    (Unavailable("later"), Unavailable),
)


@pytest.mark.parametrize(("error", "kind"), BROKEN, ids=lambda of: getattr(of, "__name__", type(of).__name__))
def test_a_kind_has_a_code_and_its_message_is_the_last_line(
    error: WardroundError,
    kind: type[WardroundError],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(data: bytes) -> None:
        raise error

    monkeypatch.setattr(child.Content, "from_json", fail)
    (tmp_path / "content").write_bytes(b"")
    code = child.main("safetensors", str(tmp_path / "content"), str(tmp_path / "file"))
    assert KINDS[code] is kind
    assert capfd.readouterr().err == f"{' '.join(str(error).split())}\n"


def test_what_nobody_expects_is_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(data: bytes) -> None:
        raise EngineFailed("odd")

    monkeypatch.setattr(child.Content, "from_json", fail)
    (tmp_path / "content").write_bytes(b"")
    with pytest.raises(EngineFailed):
        child.main("safetensors", str(tmp_path / "content"), str(tmp_path / "file"))


def test_the_process_says_why_and_of_which_kind() -> None:
    whole = content(Study.load(PROJECT / "studies" / "breast_cancer.yaml"))
    terms = {**whole.terms, "study": {**whole.terms["study"], "model": [{"Guess": {}}]}}
    with pytest.raises(EvidenceRejected, match="terms: got no study that this version"):
        encoded(replace(whole, terms=terms), FORMS["torchscript"])
