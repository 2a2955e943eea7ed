"""`wardround study continue` and `rewind`: a next version of a study, proposed, approved and played."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import commands
from pipeline.domain import HospitalName, RoundId
from pipeline.errors import InvalidStudy, Refused, WardroundError
from pipeline.setup import ledger
from pipeline.study.study import Study
from tests.support.installed import HOSPITALS, NODES
from tests.support.memory.site import MemorySite
from tests.support.rounds import Play
from tests.support.thresholds import FOR_FEW_SAMPLES

ASTER, BIRCH, CEDAR, DAHLIA, ELM, FERN = HOSPITALS[:6]
RULE = {"images_per_hospital": 6, **FOR_FEW_SAMPLES}

Says = Callable[..., str]


@dataclass(frozen=True)
class Old:
    """A study with two finished rounds; elm was absent from the first."""

    play: Play
    first: RoundId
    second: RoundId


@pytest.fixture
def says(site: MemorySite, monkeypatch: pytest.MonkeyPatch) -> Says:
    """What `wardround` prints here; raises what it refuses with."""
    monkeypatch.setenv("WARDROUND_HOME", str(site.settings.home))
    monkeypatch.setenv("WARDROUND_STUDIES", str(site.settings.studies))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(commands, list(arguments))
        if isinstance(done.exception, WardroundError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    return run


@pytest.fixture(scope="module")
def old(site: MemorySite) -> Old:
    play = site.play("old", rule=RULE)
    first = play.open("first")
    play.hospitals(first, [ASTER, BIRCH, CEDAR, DAHLIA])
    play.decide(first)
    return Old(play, first, play.round("second"))


def play_next(site: MemorySite, name: str) -> Play:
    """Registered as `wardround up` does at the provider, and approved by everybody."""
    study = Study.load(site.settings.studies / f"{name}.yaml")
    ledger.register_studies(site.settings, site.services, site.members, {name: study})
    site.approve(study)
    return Play(name, site.settings)


def test_a_hospital_joins_and_the_newest_model_goes_on(site: MemorySite, old: Old, says: Says) -> None:
    said = says("study", "continue", "old", "with_fern", "--with", FERN, "--fields", "training: {steps: 5}")
    assert f"with_fern goes on from the model of round {old.second} of old" in said
    assert "changed: Hospitals: aster, birch, cedar, dahlia, elm -> aster, birch, cedar, dahlia, elm, fern" in said
    assert "changed: Training steps per round: 4 -> 5" in said
    assert f"changed: Continues the model of round: – -> {old.second}" in said
    assert "Signing address of fern: –" in said
    shown = says("study", "show", "with_fern")
    assert "fern: not approved" in shown
    assert re.search(r"a round's verification: 252 tries .* comparisons; about .* of processor time and .* sent", shown)
    assert "trying the models: 1 of at most 1,000 million comparisons" in shown
    assert shown.count("changed: Training steps per round: 4 -> 5") == 9, "each owner sees what changes for it"
    approved = says("study", "approve", "with_fern", "--as", ASTER)
    assert "changed: Hospitals:" in approved
    round_id = play_next(site, "with_fern").round()
    assert site.record(round_id)["previous_model"] == site.record(old.second)["new_model"]
    site.audits(round_id)


def test_a_hospital_that_leaves_is_told_what_of_it_stays_in_the_model(site: MemorySite, old: Old, says: Says) -> None:
    said = says("study", "continue", "old", "without_elm", "--without", ELM)
    assert f"elm leaves; that model has what it learned from elm in rounds {old.second}" in said
    rewound = says("study", "rewind", "old", "never_elm", "--before", str(old.second), "--without", ELM)
    assert f"never_elm goes on from the model of round {old.first} of old" in rewound
    assert "elm leaves; that model has what it learned from elm in no round" in rewound
    play = play_next(site, "never_elm")
    round_id = play.round()
    record = site.record(round_id)
    assert record["previous_model"] == site.record(old.first)["new_model"]
    assert ELM not in record["verdicts"]
    site.audits(round_id)
    again = says("study", "rewind", "never_elm", "further_back", "--before", str(round_id), "--fields", "seed: 5")
    assert f"goes on from the model of round {old.first} of old" in again, "the line goes back over versions"
    with pytest.raises(Refused, match="started from the model that the seed draws"):
        says("study", "rewind", "never_elm", "to_nothing", "--before", str(old.first))


def test_a_hospital_proposes_at_its_own_folder(site: MemorySite, old: Old, says: Says) -> None:
    said = says("study", "rewind", "old", "by_elm", "--before", str(old.second), "--without", ELM, "--as", ELM)
    assert f"goes on from the model of round {old.first}" in said


def test_what_cannot_be_continued_is_refused(site: MemorySite, old: Old, says: Says) -> None:
    site.play("fresh")
    for arguments, why in (
        (("continue", "fresh", "x1"), "no round has ended in a model yet"),
        (("rewind", "old", "x2", "--before", "777"), "round 777: got none of study old"),
        (("continue", "old", "x3", "--without", FERN), "fern: got a hospital that leaves"),
        (("continue", "old", "x4", "--with", ELM), "names it already"),
        (("continue", "old", "old"), "its file is there already"),
        (("continue", "old", "x5", "--with", FERN, "--fields", "hospitals: [aster, birch, cedar]"), "hospitals: got"),
    ):
        with pytest.raises(Refused, match=why):
            says("study", *arguments)
    model = "model: [{Linear: {out_features: 2}}, {Linear: {out_features: 2}}]"
    with pytest.raises(InvalidStudy, match="want the layers and shapes of old"):
        says("study", "continue", "old", "x6", "--fields", model)
    assert not list(site.settings.studies.glob("x?.yaml"))
    with pytest.raises(InvalidStudy, match=r"continues\.study"):
        Study.load(site._write("itself", {"continues": {"study": "itself", "round": 1}}))


def test_a_node_that_leaves_is_replaced_in_the_studys_file_alone(site: MemorySite, says: Says, tmp_path: Path) -> None:
    north, east, west, south = NODES
    site.play("replaced")
    file = site.settings.studies / "replaced.yaml"
    before = file.read_text()
    out = tmp_path / "east.json"
    said = says("nodes", "replace", "replaced", west, south, "--as", east, "-o", str(out))
    assert "east agrees that study replaced goes on with" in said
    assert file.read_text() == before.replace(west, south)
    assert Study.load(file).nodes == (north, east, south)
    says("nodes", "replace", "replaced", west, south, "--as", north, "-o", str(tmp_path / "north.json"))
    assert file.read_text() == before.replace(west, south)
    with pytest.raises(Refused, match="got a node that leaves"):
        says("nodes", "replace", "replaced", HospitalName("nobody"), west, "--as", north, "-o", str(out))
