"""Rounds of one study one after the other: each continues the model before, and none runs beside another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.chain.ledger import study_id
from pipeline.cli import commands
from pipeline.domain import Kind, RoundStatus
from pipeline.errors import WardroundError
from pipeline.evidence.canonical import sha256
from pipeline.round.study_history import lineage
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.in_the_clear import computed_in_the_clear
from tests.support.installed import HOSPITALS, NODES, Installed
from tests.support.memory.site import MemorySite
from tests.support.thresholds import FOR_FEW_SAMPLES

ELM = HOSPITALS[4]


@contextmanager
def misbehaving_elm(site: Installed) -> Iterator[None]:
    """Elm sends what NaN becomes, by its own configuration."""
    own = site.settings.hospital(ELM) / "hospital.yaml"
    own.write_text("misbehaviour: not_a_number\n")
    try:
        yield
    finally:
        own.unlink()


def release_elm(study: str, folder: Path) -> None:
    """As the owners of a majority of its nodes do: each signs a file, and somebody sends them."""

    def wardround(*arguments: str) -> Result:
        return CliRunner().invoke(commands, ["release", *arguments])

    files = [str(folder / f"{node}.json") for node in NODES[:2]]
    for node, file in zip(NODES[:2], files, strict=True):
        assert wardround("sign", study, ELM, "--as", node, "-o", file).exit_code == 0
    alone = wardround("send", files[0])
    twice = wardround("send", files[0], files[0])
    want = f"1 nodes of study {study} signed the change, want 2"
    assert all(want in str(refused.exception) for refused in (alone, twice))
    sent = wardround("send", *files)
    assert sent.exit_code == 0, sent.exception
    assert "elm takes part again" in sent.output
    spent = wardround("send", *files)
    assert "ask and sign again" in str(spent.exception), "a signature counts once"


@attack(
    by="hospital",
    to="change",
    tries="to make the model useless by an update of NaN",
    costs="a strike each round, and quarantine",
    seen="its rejection, on the ledger",
)
def test_two_rounds_continue_one_model_and_who_is_quarantined_for_an_update_of_nan_counts_again_once_released(
    site: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARDROUND_HOME", str(site.settings.home))
    monkeypatch.setenv("WARDROUND_STUDIES", str(site.settings.studies))
    rule = {"images_per_hospital": 6, **FOR_FEW_SAMPLES, "strikes": 1, "reveal_condition": True}
    play = site.play("two_rounds", rule=rule)
    rejected = None
    study = study_id("two_rounds")
    models = [site.ledger.study(study).current_model]
    for run, misbehaving in enumerate((misbehaving_elm(site), nullcontext())):
        if rejected is not None:
            assert lineage(site.node_context(play, rejected, NODES[0]).worker).quarantined == {ELM}
            release_elm("two_rounds", tmp_path)
            assert site.ledger.released(study, site.ledger.round(rejected)) == (site.members.hospital(ELM),)
        with misbehaving:
            round_id = play.open(f"run-{run}")
            play.hospitals(round_id)
        verdicts, model = computed_in_the_clear(site, play, round_id)
        play.decide(round_id)

        record = site.record(round_id)
        finalised = site.ledger.round(round_id).finalised
        assert finalised is not None
        assert record["verdicts"] == verdicts
        assert record["new_model"] == finalised.new_model == model
        assert record["previous_model"] == models[-1]
        assert sha256(site.store().get(object_keys.MODELS, object_keys.model().key(model), model)) == model
        struck = [name for name, verdict in verdicts.items() if verdict == "rejected"]
        assert record["strikes"] == {name: [round_id] for name in struck}, "who was released starts without strikes"
        assert record["quarantined"] == sorted(struck)
        assert record["failed"] == dict.fromkeys(struck, "size")
        assert ELM in record["inputs"]
        if rejected is None:
            assert struck == [ELM]
            rejected = round_id
        models.append(model)
        for hospital in play.study.hospitals:
            confirmation = site.said(round_id, Kind.CONFIRMATION, hospital)
            assert confirmation.body["model"] == model
            assert not (site.settings.hospital(hospital) / "rounds" / str(round_id)).exists()
        for node in play.study.nodes:
            assert not (site.settings.node(node) / "sealing" / str(round_id)).exists()
        site.audits(round_id)
    assert len(set(models)) == 3
    assert play.absences == {}


def test_two_rounds_of_one_study_are_never_open_at_once(site: MemorySite) -> None:
    play = site.play("one_at_a_time")
    first = play.open("first")
    site.near_deadline(first, 1)
    second = play.open("second")

    assert site.ledger.status(first) is RoundStatus.ABORTED
    assert site.ledger.status(second) is RoundStatus.OPEN
    assert site.ledger.round(first).opened.previous_model == site.ledger.round(second).opened.previous_model
    site.audits(first)


def test_a_step_out_of_order_is_refused_in_the_language_of_the_house(site: Installed) -> None:
    play = site.play("out_of_order")
    round_id = play.open()
    for step, name in (("share", HOSPITALS[0]), ("confirm", HOSPITALS[0])):
        with pytest.raises(WardroundError):
            play.hospital(step, round_id, name)
    for step in ("prepare", "verify", "aggregate", "retire"):
        with pytest.raises(WardroundError):
            play.node(step, round_id, NODES[0])
    assert site.transactions("out_of_order") == [("opened", round_id)]
