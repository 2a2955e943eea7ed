"""A study that starts from another one's model: members, rule and nodes change, and the line of rounds goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pipeline.audit.audit_all import Sweep
from pipeline.chain.ledger import study_id
from pipeline.domain import Address, RoundId, Sha256
from pipeline.errors import ContractRefused, EvidenceRejected, InvalidStudy, Refused
from pipeline.evidence.canonical import sha256
from pipeline.round import continuation
from pipeline.round.study_history import lineage
from pipeline.setup import ledger
from pipeline.study.study import Study
from tests.adversary import attack
from tests.support.in_the_clear import computed_in_the_clear
from tests.support.installed import HOSPITALS, NODES
from tests.support.memory.site import MemorySite
from tests.support.rounds import Play
from tests.support.thresholds import FOR_FEW_SAMPLES

ASTER, BIRCH, CEDAR, DAHLIA, ELM, FERN = HOSPITALS[:6]
NORTH, EAST, WEST, SOUTH = NODES
# Who is rejected here is so for NaN: no honest hospital may be for a draw of few samples.
LENIENT = FOR_FEW_SAMPLES | {"below_global_percent": 75, "below_peers_percent": 75}
RULE = {"images_per_hospital": 6, **LENIENT, "strikes": 2}


@dataclass(frozen=True)
class Before:
    """A study with two finished rounds, the second of which rejected elm, and one that was aborted."""

    play: Play
    first: RoundId
    last: RoundId
    aborted: RoundId

    def model(self, site: MemorySite, round_id: RoundId) -> Sha256:
        finalised = site.ledger.round(round_id).finalised
        assert finalised is not None
        return finalised.new_model

    def continuing(self, round_id: RoundId | None = None) -> Mapping[str, Any]:
        return {"study": self.play.study.name, "round": int(round_id or self.last)}


@pytest.fixture(scope="module")
def before(site: MemorySite) -> Before:
    play = site.play("before", rule=RULE)
    first = play.round("first")
    own = site.settings.hospital(ELM) / "hospital.yaml"
    own.write_text("misbehaviour: not_a_number\n")
    last = play.round("second")
    own.unlink()
    aborted = play.open("third")
    site.pass_deadline(aborted)
    site.outbox().send(site.ledger.abort_round(aborted), f"abort-{aborted}")
    return Before(play, first, last, aborted)


def written(site: MemorySite, name: str, **changes: Any) -> Study:
    """A study's file that nobody has registered."""
    return Study.load(site._write(name, {"rule": RULE, **changes}))


def register(site: MemorySite, study: Study) -> None:
    """As `wardround up` does at the provider."""
    ledger.register_studies(site.settings, site.services, site.members, {study.name: study})


def registered_past_setup(site: MemorySite, study: Study, round_id: RoundId, model: Sha256) -> Play:
    """By a provider that sends what it likes; owners approve the study's file."""
    nodes = [Address(site.members.node(name).address) for name in study.nodes]
    site.outbox().send(site.ledger.continue_round(study_id(study.name), nodes, round_id, model), f"own-{study.name}")
    site.approve(study)
    return Play(study.name, site.settings)


def test_another_hospital_another_node_and_another_rule_go_on_from_the_model_of_the_version_before(
    site: MemorySite, before: Before
) -> None:
    play = site.play(
        "after",
        continues=before.continuing(),
        hospitals=[BIRCH, CEDAR, DAHLIA, ELM, FERN],
        nodes=[NORTH, SOUTH, EAST],
        rule=RULE | {"strikes": 3},
    )
    model = before.model(site, before.last)
    assert site.ledger.parent_round(study_id("after")) == before.last
    round_id = play.open()
    past = lineage(site.node_context(play, round_id, SOUTH).worker)
    assert (past.finished, past.strikes) == (2, {ELM: (before.last,)})
    assert past.verdicts(ELM) == (True, False)
    assert past.verdicts(FERN) == ()
    play.hospitals(round_id)
    verdicts, computed = computed_in_the_clear(site, play, round_id)
    play.decide(round_id)

    record = site.record(round_id)
    old = site.record(before.last)
    assert (record["previous_model"], record["new_model"], record["verdicts"]) == (model, computed, verdicts)
    assert record["budget"] == old["next_budget"]
    assert record["strikes"][ELM][0] == before.last
    detail = next(check.detail for check in site.audit(round_id).checks if check.name == "lineage")
    assert f"of round {before.last} of another study, which this one continues" in detail
    second = play.round("second")
    for number in (before.first, before.last, before.aborted, round_id, second):
        site.audits(number)
        assert Sweep(site.ledger, site.store()).audit(number).passed
    assert [state.round for state in site.ledger.line(study_id("after"))] == [
        before.first,
        before.last,
        round_id,
        second,
    ]


def test_who_is_in_quarantine_stays_there_in_the_next_version_and_who_left_is_forgotten(
    site: MemorySite, before: Before
) -> None:
    play = site.play("held_before", rule=RULE | {"strikes": 1})
    own = site.settings.hospital(ELM) / "hospital.yaml"
    own.write_text("misbehaviour: not_a_number\n")
    held = play.round()
    own.unlink()
    assert site.record(held)["quarantined"] == [ELM]
    continues = {"study": "held_before", "round": int(held)}
    kept = site.play("held_after", continues=continues, rule=RULE | {"strikes": 1})
    round_id = kept.round("kept")
    assert site.record(round_id)["absent"] == {ELM: "quarantined"}
    gone = site.play("held_gone", continues=continues, hospitals=[ASTER, BIRCH, CEDAR, DAHLIA, FERN])
    without = gone.round("gone")
    assert (site.record(without)["quarantined"], site.record(without)["absent"]) == ([], {})
    site.audits(round_id)
    site.audits(without)


def test_an_edit_of_the_studys_own_file_goes_on_with_other_hospitals(site: MemorySite) -> None:
    play = site.play("edited", rule=RULE | {"strikes": 1})
    own = site.settings.hospital(ELM) / "hospital.yaml"
    own.write_text("misbehaviour: not_a_number\n")
    first = play.round("first")
    own.unlink()
    site.approve(written(site, "edited", rule=RULE | {"strikes": 1}, hospitals=[ASTER, BIRCH, CEDAR, DAHLIA, FERN]))
    second = Play("edited", site.settings).round("second")
    record = site.record(second)
    assert record["previous_model"] == site.record(first)["new_model"]
    assert (record["quarantined"], set(record["verdicts"])) == ([], {ASTER, BIRCH, CEDAR, DAHLIA, FERN})
    site.audits(second)


def test_an_earlier_model_can_be_continued_while_the_version_before_goes_on(site: MemorySite, before: Before) -> None:
    play = site.play("rewound", continues=before.continuing(before.first), hospitals=[ASTER, BIRCH, CEDAR, DAHLIA])
    round_id = play.round()
    assert site.record(round_id)["previous_model"] == before.model(site, before.first)
    assert ELM not in site.record(round_id)["verdicts"]
    site.audits(round_id)
    site.audits(before.play.round("goes on"))


@attack(
    by="provider",
    to="change",
    tries="to have a study continue another model than the one its owners approved",
    costs="the study: its name on the ledger is spent",
    seen="what the ledger has it continue, in the refusal of every node",
)
def test_a_study_that_continues_another_round_than_its_file_says_gets_no_round(
    site: MemorySite, before: Before
) -> None:
    study = written(site, "another_round", continues=before.continuing())
    play = registered_past_setup(site, study, before.first, before.model(site, before.first))
    with pytest.raises(Refused, match=f"continue round {before.first}, its file round {before.last}"):
        play.node("prepare", RoundId(900), NORTH)
    with pytest.raises(Refused, match=f"continue round {before.first}, its file round {before.last}"):
        play.hospital("validate", RoundId(900), ASTER)
    model = before.model(site, before.first)
    with pytest.raises(ContractRefused, match="StalePreviousModel"):
        registered_past_setup(site, written(site, "another_model"), before.last, model)


@attack(
    by="provider",
    to="change",
    tries="to have a study that ought to start anew start from a model of the provider's own",
    costs="the study: its name on the ledger is spent",
    seen="the model that it was registered with, in the refusal of every node",
)
@pytest.mark.parametrize("how", ["another model", "another study's model", "no link"])
def test_a_study_that_starts_from_another_model_than_its_seed_draws_gets_no_round(
    site: MemorySite, before: Before, how: str
) -> None:
    name = how.replace(" ", "_").replace("'", "")
    model = before.model(site, before.last) if how == "another study's model" else sha256(b"the provider's own")
    study = written(site, name, **({"continues": before.continuing()} if how == "no link" else {}))
    nodes = [Address(site.members.node(node).address) for node in study.nodes]
    site.outbox().send(site.ledger.register_study(study_id(name), nodes, model), f"own-{name}")
    site.approve(study)
    wanted = "continue no other study, its file round" if how == "no link" else "but its seed draws"
    with pytest.raises(Refused, match=wanted):
        Play(name, site.settings).node("prepare", RoundId(901), NORTH)


@attack(
    by="provider",
    to="change",
    tries="to have a study continue a round that was aborted",
    costs="nothing",
    seen="nothing: the ledger refuses it",
)
def test_a_round_without_a_model_is_continued_by_nobody(site: MemorySite, before: Before) -> None:
    study = written(site, "from_nothing", continues=before.continuing(before.aborted))
    with pytest.raises(Refused, match="want finalised; no model came of it"):
        register(site, study)
    for number in (before.aborted, RoundId(999)):
        with pytest.raises(ContractRefused, match="WrongStatus"):
            registered_past_setup(site, study, number, before.model(site, before.last))
    never = written(site, "from_never", continues=before.continuing(RoundId(999)))
    with pytest.raises(EvidenceRejected, match="got none of that number"):
        register(site, never)


@attack(
    by="provider",
    to="change",
    tries="to have a study continue a model of another architecture",
    costs="nothing",
    seen="the layers of both, in the refusal of every member",
)
def test_a_model_of_another_architecture_is_continued_by_nobody(site: MemorySite, before: Before) -> None:
    wider = [{"Linear": {"out_features": 2}}, {"ReLU": {}}, {"Linear": {"out_features": 2}}]
    study = written(site, "wider", continues=before.continuing(), model=wider)
    with pytest.raises(InvalidStudy, match=r"want the layers and shapes of before: .*Linear"):
        register(site, study)
    play = registered_past_setup(site, study, before.last, before.model(site, before.last))
    with pytest.raises(InvalidStudy, match=r"want the layers and shapes of before: .*Linear"):
        play.node("prepare", RoundId(902), NORTH)


@attack(
    by="provider",
    to="change",
    tries="to have a study continue a model that a study of the provider's own nodes made",
    costs="nothing",
    seen="nothing: the ledger refuses it",
)
def test_a_strangers_study_is_continued_by_nobody(site: MemorySite, before: Before) -> None:
    stranger = site.play("strangers", nodes=[EAST, WEST, SOUTH])
    round_id = stranger.round()
    model = before.model(site, round_id)
    named = {"study": "strangers", "round": int(round_id)}
    register(site, written(site, "most_stay", continues=named, nodes=[NORTH, EAST, SOUTH]))
    others = [Address(site.members.node(EAST).address), *(Address(f"0x{digit * 40}") for digit in "12")]
    with pytest.raises(ContractRefused, match="NoMajority"):
        site.outbox().send(site.ledger.continue_round(study_id("one_stays"), others, round_id, model), "one-stays")
    # The file says a study of the members', the round is the stranger's.
    lie = written(site, "lie", continues=before.continuing(round_id))
    with pytest.raises(Refused, match=f"round {round_id}: got a round of another study than before"):
        register(site, lie)
    play = registered_past_setup(site, lie, round_id, model)
    with pytest.raises(Refused, match="got a round of another study than before"):
        play.node("prepare", RoundId(903), NORTH)


def test_a_node_under_suspension_does_not_take_its_studys_model_along(site: MemorySite, before: Before) -> None:
    play = site.play("suspended", nodes=[NORTH, WEST, SOUTH])
    round_id = play.round()
    contract = site.chain.contract
    assert contract is not None
    contract.studies_[bytes.fromhex(study_id("suspended"))].suspended.add(site.members.node(WEST).address.lower())
    study = written(
        site, "without_west", continues={"study": "suspended", "round": int(round_id)}, nodes=[NORTH, EAST, WEST]
    )
    with pytest.raises(ContractRefused, match="NoMajority"):
        register(site, study)


def test_the_file_of_the_version_before_lies_beside(site: MemorySite, before: Before, tmp_path: Any) -> None:
    study = written(site, "beside", continues=before.continuing())
    assert continuation.predecessor(study, site.settings.studies) == before.play.study
    with pytest.raises(InvalidStudy, match="want one of the studies there"):
        continuation.predecessor(study, tmp_path)


def test_the_link_is_part_of_what_owners_approve(site: MemorySite, before: Before) -> None:
    one = written(site, "linked", continues=before.continuing())
    other = written(site, "linked", continues=before.continuing(before.first))
    assert one.digest(site.members) != other.digest(site.members)
    assert one.terms(site.members)["study"]["continues"] == {"study": "before", "round": int(before.last)}
