"""A file is known by its first bytes for what it is, whatever it holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.export.content import Content
from pipeline.export.forms import FORMS
from pipeline.export.forms.base import FormName
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study

from .test_answers import content

WHOLE = content(Study.load(PROJECT / "studies" / "breast_cancer.yaml"))


def longer(by: int) -> Content:
    """The study's model under so many more characters of its title and its name."""
    title, name = "t" * min(1 + by, 200), "n" * max(by - 195, 4)
    return replace(WHOLE, terms={**WHOLE.terms, "study": {**WHOLE.terms["study"], "title": title, "name": name}})


def recognised(data: bytes) -> list[str]:
    return [name for name, form in FORMS.items() if form.recognises(data)]


def test_a_file_of_safetensors_is_one_whatever_the_length_of_its_header() -> None:
    lengths = set()
    for by in range(0, 224, 4):
        data = FORMS["safetensors"].write(longer(by))
        lengths.add(data[0])
        assert recognised(data) == ["safetensors"]
    # among them that with which a file of ONNX begins
    assert 8 in lengths


@pytest.mark.parametrize("name", ["onnx", "torchscript"])
def test_each_other_form_is_known_as_itself_alone(name: FormName) -> None:
    assert recognised(FORMS[name].write(WHOLE)) == [name]


@pytest.mark.parametrize("data", [b"", b"{}", b"\x08", b"\x08\x0a", bytes(8) + b"{", b"PK", b"\xff" * 8 + b"{"])
def test_other_bytes_are_none(data: bytes) -> None:
    assert recognised(data) == []
