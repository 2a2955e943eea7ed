"""A format's file of vectors: made from what is given, by running the code on it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from pipeline.errors import WardroundError

FORMATS = (
    "canonical_bytes",
    "statements",
    "shares",
    "envelopes",
    "manifests",
    "records",
    "bundles",
    "cards",
    "invitations",
)

FOLDER = Path(__file__).parent

Given = Mapping[str, Any]


class Format(Protocol):
    """One module of this package."""

    ABOUT: str
    REFUSED: Mapping[str, str]
    """Bad vector to a part of the error's message."""

    def given(self, kept: Mapping[str, Given]) -> Mapping[str, Given]:
        """What each vector starts from; `kept` has what the file gives now, for bytes that are made only once."""

    def answer(self, given: Given) -> Mapping[str, Any]:
        """What the code makes of it; raises what it raises."""


def load(form: str) -> Format:
    return cast(Format, importlib.import_module(f"tests.vectors.{form}"))


def path(form: str) -> Path:
    return FOLDER / f"{form}.json"


def read(form: str) -> Mapping[str, Any]:
    """What a file holds, empty where there is none."""
    file = path(form)
    return json.loads(file.read_text())["vectors"] if file.exists() else {}


def text(form: str) -> str:
    """The file as the code would write it."""
    module = load(form)
    kept = {name: vector["given"] for name, vector in read(form).items()}
    given = module.given(kept)
    assert set(module.REFUSED) == {name for name in given if name.startswith("bad_")}
    vectors = {name: {"given": start} | outcome(module, name, start) for name, start in given.items()}
    return json.dumps({"about": module.ABOUT, "vectors": vectors}, indent=1) + "\n"


def outcome(module: Format, name: str, given: Given) -> dict[str, Any]:
    says = module.REFUSED.get(name)
    if says is None:
        return {"want": module.answer(given)}
    try:
        taken = module.answer(given)
    except (WardroundError, TypeError) as error:
        if says not in str(error):
            raise AssertionError(f"{name}: got {error}, want a message with {says!r}") from error
        return {"refused": {"error": type(error).__name__, "says": says}}
    raise AssertionError(f"{name}: want a refusal, got {taken}")
