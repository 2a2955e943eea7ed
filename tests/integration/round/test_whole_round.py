"""Whole rounds: two that continue one model, what they leave behind, and every step taken twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.chain.ledger import study_id
from pipeline.cli import commands
from pipeline.domain import HospitalName, Kind, RoundId, RoundStatus
from pipeline.errors import WardroundError
from pipeline.evidence.canonical import sha256
from pipeline.model_file import model_bytes
from pipeline.mpc import reference, rule
from pipeline.mpc.engines.base import AggregateTask, VerifyTask
from pipeline.round.journal import Commit
from pipeline.round.parameters import rule_parameters
from pipeline.round.study_history import global_model, lineage
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.consortia import HOSPITALS, NODES, Site
from tests.support.dealers import shared_vector
from tests.support.rounds import Play
from tests.support.thresholds import FOR_FEW_SAMPLES

pytestmark = [pytest.mark.store, pytest.mark.anvil]

ELM = HOSPITALS[4]


@contextmanager
def misbehaving_elm(site: Site) -> Iterator[None]:
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


def computed_in_the_clear(site: Site, play: Play, round_id: RoundId) -> tuple[dict[HospitalName, str], str]:
    """Verdicts and new model of a round in which every hospital shared, from payloads and the plain reference."""
    contexts = {name: site.hospital_context(play, round_id, name) for name in play.study.hospitals}
    payloads = {name: shared_vector(ctx) for name, ctx in contexts.items()}
    worker = next(iter(contexts.values())).worker
    previous = global_model(worker, worker.ledger.round(round_id).opened.previous_model)
    past = lineage(worker)
    network = play.study.network
    task = VerifyTask(play.study.hospitals, network, rule_parameters(play.study, past.finished, past.budget), previous)
    bits, _ = reference.verify(task, payloads)
    accepted = tuple(name for name, bit in zip(task.hospitals, bits, strict=True) if bit)
    total, count = reference.aggregate(AggregateTask(accepted, network), payloads)
    verdicts = {name: "accepted" if name in accepted else "rejected" for name in task.hospitals}
    return verdicts, sha256(model_bytes(rule.new_model(previous, total, count)))


def everything(site: Site, play: Play) -> tuple[list[tuple[str, str, str]], list[tuple[str, int]], dict[Path, bytes]]:
    """Every version in the store but timings, every ledger event of the study, every node's journal."""
    store = site.store()
    objects = [
        (bucket, info.key, info.version_id)
        for bucket in (object_keys.MAILBOX, object_keys.MODELS, object_keys.REPORTS, object_keys.DVC)
        for info in store.history(bucket, "")
        if "/timings/" not in info.key
    ]
    journals = {
        path: path.read_bytes()
        for node in play.study.nodes
        for path in sorted((site.settings.node(node) / "journal").glob("*.json"))
    }
    return objects, site.transactions(play.study.name), journals


def recomputed(site: Site, play: Play, round_id: RoundId) -> None:
    """Let every node forget what it opened and compute it again; a vote that differs is refused by its journal."""
    for node in play.study.nodes:
        ctx = site.node_context(play, round_id, node)
        opening = Commit(ctx.worker.digest, ctx.previous_model, ctx.commit_root).entry
        for name in (f"revealed-{round_id}.json", opening):
            (site.settings.node(node) / "journal" / name).unlink()
    play.verify(round_id)
    play.aggregate(round_id)


@pytest.mark.spu
@attack(
    by="hospital",
    to="change",
    tries="to make the model useless by an update of NaN",
    costs="a strike each round, and quarantine",
    seen="its rejection, on the ledger",
)
def test_two_rounds_continue_one_model_and_who_is_quarantined_for_an_update_of_nan_counts_again_once_released(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


@pytest.mark.spu
def test_every_step_taken_again_changes_nothing_and_computing_again_gives_the_same_vote(site: Site) -> None:
    play = site.play("twice")
    round_id = play.open()
    assert play.number("run") == round_id
    play.provider("open_round", round_id)
    for _ in range(2):
        play.hospitals(round_id)
    for _ in range(2):
        play.commit(round_id)
    for _ in range(2):
        play.verify(round_id)
    for _ in range(2):
        play.aggregate(round_id)
    before = everything(site, play)
    recomputed(site, play, round_id)
    assert everything(site, play) == before

    for _ in range(2):
        play.end(round_id)
        play.provider("record", round_id)
    before = everything(site, play)
    play.end(round_id)
    play.provider("record", round_id)
    assert everything(site, play) == before

    site.each_thing_once(play, round_id)
    assert play.absences == {}
    site.audits(round_id)


@pytest.mark.mp_spdz
@pytest.mark.parametrize(("protocol", "nodes"), [("replicated-ring", 3), ("rep4-ring", 4)])
def test_a_round_under_mp_spdz_ends_as_the_plain_reference_says(site: Site, protocol: str, nodes: int) -> None:
    play = site.play(protocol.replace("-", "_"), engine="mp-spdz", protocol=protocol, nodes=list(NODES[:nodes]))
    round_id = play.open()
    play.hospitals(round_id)
    verdicts, model = computed_in_the_clear(site, play, round_id)
    play.decide(round_id)

    record = site.record(round_id)
    assert (record["verdicts"], record["new_model"]) == (verdicts, model)
    assert play.absences == {}
    site.audits(round_id)


def test_two_rounds_of_one_study_are_never_open_at_once(site: Site) -> None:
    play = site.play("one_at_a_time", deadlines={"commit_seconds": 5, "result_seconds": 15})
    first = play.open("first")
    second = play.open("second")

    assert site.ledger.status(first) is RoundStatus.ABORTED
    assert site.ledger.status(second) is RoundStatus.OPEN
    assert site.ledger.round(first).opened.previous_model == site.ledger.round(second).opened.previous_model
    site.audits(first)


def test_a_step_out_of_order_is_refused_in_the_language_of_the_house(site: Site) -> None:
    play = site.play("out_of_order")
    round_id = play.open()
    for step, name in (("share", HOSPITALS[0]), ("confirm", HOSPITALS[0])):
        with pytest.raises(WardroundError):
            play.hospital(step, round_id, name)
    for step in ("prepare", "verify", "aggregate", "retire"):
        with pytest.raises(WardroundError):
            play.node(step, round_id, NODES[0])
    assert site.transactions("out_of_order") == [("opened", round_id)]
