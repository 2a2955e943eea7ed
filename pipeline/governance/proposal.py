"""An experiment as a new study: another's file with some fields changed, for its hospitals and nodes to approve."""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.domain import NAME_PATTERN, Sha256
from pipeline.errors import InvalidStudy, Misconfigured, Refused
from pipeline.host.documents import PLAIN, read_fields
from pipeline.site.consortium import Consortium
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from pipeline.study.study_file import commented

_LONGEST_OVERRIDE = 16_384


@dataclass(frozen=True)
class Proposal:
    """A study that nobody has approved yet."""

    study: Study
    digest: Sha256
    text: str
    """Of its file."""
    diff: str
    """What it fixes, against what the other study fixes; unified."""


def propose(base: str, name: str, changes: Mapping[str, Any], settings: Settings) -> Proposal:
    """Study `base` under a new name with these fields changed.

    Raises InvalidStudy, Refused for a taken name.
    """
    file = f"{name}.yaml"
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidStudy("the proposal", "name", name, "2 to 32 of a-z, 0-9, _ and -, a letter first")
    if (settings.studies / file).exists():
        raise Refused(
            f"study {name}: its file is there already; a proposal takes a name of its own, so that the approved study"
            " stays as it is"
        )
    before = base_study(base, settings)
    source = settings.studies / f"{base}.yaml"
    if "name" in changes:
        raise InvalidStudy(file, "name", changes["name"], "no such line: the name is asked for apart")
    content = _merged(
        {key: value for key, value in read_fields(source.read_bytes(), base).items() if key != "name"}, changes
    )
    plain = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    after = loaded(file, plain)
    text = f"# Proposed as an experiment on study {base}.\n\n" + commented(plain, name)
    diff = _diff(before, after)
    if before.model_dump(exclude={"name"}) == after.model_dump(exclude={"name"}):
        raise InvalidStudy(file, "fields", "no change", f"at least one field that differs from {base}")
    return Proposal(after, after.digest(Consortium.load(settings.consortium)), text, diff)


def base_study(name: str, settings: Settings) -> Study:
    """The study that a proposal starts from; raises InvalidStudy."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidStudy("the proposal", "base", name, "the name of a study that is there")
    return Study.load(settings.studies / f"{name}.yaml")


def write(proposal: Proposal, settings: Settings) -> Path:
    """Put the file where studies lie.

    Raises Refused when one of that name came first, Misconfigured when it cannot be written.
    """
    path = settings.studies / f"{proposal.study.name}.yaml"
    try:
        with path.open("x") as file:
            file.write(proposal.text)
    except FileExistsError as error:
        raise Refused(
            f"study {proposal.study.name}: its file is there already; propose it under another name"
        ) from error
    except OSError as error:
        raise Misconfigured(
            f"{path}: got {type(error).__name__}; download the proposal and put it there yourself"
        ) from error
    return path


def fields(text: str) -> Mapping[str, Any]:
    """The fields that a text in YAML changes; raises InvalidStudy."""
    if len(text) > _LONGEST_OVERRIDE:
        raise InvalidStudy("the proposal", "fields", f"{len(text)} characters", f"at most {_LONGEST_OVERRIDE}")
    try:
        return read_fields(text, "the proposal", raising=InvalidStudy)
    except InvalidStudy as error:
        wanted = f"fields of a study as in its file, such as `training: {{steps: 8}}`, in {PLAIN}"
        raise InvalidStudy("the proposal", "fields", error.got, wanted) from error


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings are merged field by field, all else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        held = merged.get(key)
        merged[key] = _merged(held, value) if isinstance(held, dict) and isinstance(value, dict) else value
    return merged


def loaded(file: str, text: str) -> Study:
    """The study of a file that is not written yet; raises InvalidStudy."""
    with tempfile.TemporaryDirectory(prefix="wardround-proposal-") as folder:
        path = Path(folder) / file
        path.write_text(text)
        try:
            return Study.load(path)
        except InvalidStudy as error:
            raise InvalidStudy(file, error.field, error.got, error.wanted) from error


def _diff(before: Study, after: Study) -> str:
    def lines(study: Study) -> list[str]:
        return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True).splitlines()

    return "\n".join(
        difflib.unified_diff(lines(before), lines(after), f"{before.name}.yaml", f"{after.name}.yaml", lineterm="", n=2)
    )
