"""Studies in memory whose models leave: one of two rounds, one on a measured scale, and one that is concluded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.audit import proof_bundle
from pipeline.audit.proof_bundle import Bundle
from pipeline.audit.round_evidence import RoundEvidence
from pipeline.chain.transcript import Transcript
from pipeline.cli import commands
from pipeline.domain import Address, RoundId
from pipeline.export import lineage
from pipeline.export.content import Content
from pipeline.export.encoding import encoded
from pipeline.export.forms import FORMS
from pipeline.export.forms.base import Form
from pipeline.site.consortium import Consortium
from pipeline.study.study import Study
from pipeline.views.observer import Observer
from tests.support.fixtures import cheap_passphrases, checked_once
from tests.support.memory.site import MemorySite
from tests.support.rounds import Play
from tests.unit.round import test_scale

__all__ = ["cheap_passphrases", "checked_once"]

NAME = "leaving"
LONG = {"commit_seconds": 3000, "result_seconds": 3600}


@dataclass(frozen=True)
class Left:
    """What a study's rounds left behind, and where."""

    site: MemorySite
    name: str
    rounds: tuple[RoundId, ...]
    folder: Path

    @property
    def nodes(self) -> Path:
        """The members' file, which is all that whoever checks has to trust."""
        return self.site.settings.consortium

    @property
    def study(self) -> Study:
        return Study.load(self.site.settings.studies / f"{self.name}.yaml")

    def run(self, *arguments: str) -> Result:
        """The command, on this installation."""
        where = {"WARDROUND_HOME": self.site.settings.home, "WARDROUND_STUDIES": self.site.settings.studies}
        env = {name: str(path) for name, path in where.items()} | {"COLUMNS": "200"}
        return CliRunner().invoke(commands, list(arguments), env=env)

    def exported(self, form: Form, number: int = -1) -> Path:
        """The folder of one round's export, made once."""
        folder = self.folder / f"{form.name}-{self.rounds[number]}"
        if not folder.exists():
            given = ["--format", form.name, "--round", str(self.rounds[number]), "--out", str(folder)]
            said = self.run("model", "export", self.name, *given)
            assert said.exit_code == 0, (said.output, said.exception)
        return folder

    def file(self, form: Form, number: int = -1) -> bytes:
        return (self.exported(form, number) / form.file).read_bytes()

    def evidence(self, number: int = -1) -> RoundEvidence:
        """One round as its bundle proves it, and nothing else."""
        observer = Observer.open(self.site.settings)
        state = observer.ledger.round(self.rounds[number])
        packed = proof_bundle.pack(
            RoundEvidence(state.round, observer.ledger, observer.store), observer.ledger.transcript(state)
        )
        members = Consortium.load(self.nodes)
        bundle = Bundle(packed)
        addresses = tuple(Address(members.node(node.name).address) for node in bundle.record(state.round).nodes)
        return RoundEvidence(state.round, Transcript.read(bundle.json("ledger.json"), addresses), bundle)

    def content(self, number: int = -1) -> Content:
        """What its exports hold."""
        observer = Observer.open(self.site.settings)
        evidence = RoundEvidence(self.rounds[number], observer.ledger, observer.store)
        terms = self.study.terms(Consortium.load(self.nodes))
        return Content(evidence.context, terms, evidence.model(evidence.result.new_model))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySite]:
    made = MemorySite(tmp_path_factory.mktemp("memory") / "home")
    with made.reached():
        yield made


def _left(play: Play, site: MemorySite, rounds: int, folder: Path) -> Left:
    return Left(site, play.study.name, tuple(play.round(str(number)) for number in range(rounds)), folder)


@pytest.fixture(scope="session")
def left(site: MemorySite, tmp_path_factory: pytest.TempPathFactory) -> Left:
    play = site.play(NAME, hospitals=["aster", "birch", "cedar"], deadlines=LONG)
    return _left(play, site, 2, tmp_path_factory.mktemp("left"))


@pytest.fixture(scope="session")
def measured(site: MemorySite, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """Its first round measured the scale of its inputs, and trained nothing."""
    play = test_scale.started(site, "measured", deadlines=LONG)
    return _left(play, site, 2, tmp_path_factory.mktemp("left"))


@pytest.fixture(scope="session")
def ended(site: MemorySite, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """Its one round concluded it."""
    play = site.play("ended", hospitals=["aster", "birch", "cedar"], deadlines=LONG, course={"most_rounds": 1})
    return _left(play, site, 1, tmp_path_factory.mktemp("left"))


@pytest.fixture
def written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each content is written anew once, in its own process, however many files are compared with it."""
    monkeypatch.setattr(lineage, "encoded", lambda content, form: _encoded(content.to_json(), form.name))


@cache
def _encoded(content: bytes, form: str) -> bytes:
    return encoded(Content.from_json(content), FORMS[form])
