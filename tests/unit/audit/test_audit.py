"""What an audit passes, and what it refuses and names."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from pipeline.audit.audit_round import AuditReport, Outcome, audit
from pipeline.audit.proof_bundle import Bundle, pack
from pipeline.audit.round_evidence import RoundEvidence
from pipeline.audit.round_objects import RoundObjects
from pipeline.audit.round_record import RoundRecord
from pipeline.audit.statement_archive import SUFFIX
from pipeline.chain.ledger import HospitalStatus, study_id
from pipeline.domain import Abort, Address, HospitalName, Kind, NodeName, Reason, RoundId, RoundStatus, Sha256
from pipeline.evidence import signing
from pipeline.evidence.canonical import canonical_json, sha256
from pipeline.report.round_list import summaries
from pipeline.store import object_keys
from pipeline.store.object_keys import KeyPrefix
from tests.adversary import attack
from tests.support.finished_rounds import (
    ABSENT_REASON,
    DictLedger,
    DictStore,
    RoundMaker,
    consortium,
    key,
    manifest_body,
    model,
    study,
    validation_body,
)

LAST = RoundId(4)


class World:
    """Three finished rounds and an aborted one."""

    def __init__(self) -> None:
        self.study = study()
        self.members = consortium(self.study)
        self.store = DictStore()
        self.ledger = DictLedger(self.study, self.members)
        self.maker = RoundMaker(self.study, self.members, self.store.put, self.ledger)
        self.maker.start(model(0))
        self.maker.finish(RoundId(1), rejected=["southmoor"])
        self.maker.finish(RoundId(2), rejected=["southmoor"], absent=["hillside"], signers=["alder", "cedar"])
        self.maker.open(RoundId(3))
        self.ledger.abort(RoundId(3))
        self.maker.finish(LAST, unconfirmed=["eastfield"])

    def audit(self, round_id: int = LAST) -> AuditReport:
        return audit(RoundId(round_id), self.ledger, self.store)

    def only(self, place: KeyPrefix) -> str:
        (found,) = {info.key for info in self.store.history(place.bucket, place.prefix)}
        return found

    def key_of(self, what: str) -> tuple[str, str]:
        result = self.ledger.states[LAST].result
        assert result is not None
        if what == "model":
            return object_keys.MODELS, object_keys.model().key(result.new_model)
        hospital = HospitalName("westbrook")
        node = NodeName("birch")
        place = {
            "record": object_keys.record(LAST),
            "commit list": object_keys.commit(LAST),
            "manifest": object_keys.statement(LAST, Kind.MANIFEST, hospital),
            "validation": object_keys.statement(LAST, Kind.VALIDATION, hospital),
            "confirmation": object_keys.statement(LAST, Kind.CONFIRMATION, hospital),
            "vote": object_keys.statement(LAST, Kind.VOTE, node),
            "input set": object_keys.statement(LAST, Kind.INPUT_SET, node),
            "inventory": object_keys.statement(LAST, Kind.INVENTORY, node),
            "sealing key": object_keys.statement(LAST, Kind.SEALING_KEY, node),
        }[what]
        return place.bucket, self.only(place)


@cache
def pristine() -> World:
    return World()


@pytest.fixture
def world() -> World:
    """The same rounds for every test, which does with its copy what it likes."""
    return deepcopy(pristine())


STORED = [
    "model",
    "record",
    "commit list",
    "manifest",
    "validation",
    "confirmation",
    "vote",
    "input set",
    "inventory",
    "sealing key",
]


@pytest.mark.parametrize("round_id", [1, 2, 3, 4])
def test_rounds_in_which_everybody_was_honest_pass(world: World, round_id: int) -> None:
    report = world.audit(round_id)
    assert report.first_problem is None
    assert report.passed
    assert {check.outcome for check in report.checks} == {Outcome.PASSED}


@pytest.mark.parametrize(
    "member",
    [f"rounds/{LAST}/hospitals/westbrook/", f"rounds/{LAST}/nodes/birch/", f"rounds/{LAST}/hospitals/stranger/"],
)
def test_what_a_member_heaps_up_in_its_own_folder_is_its_finding_and_spoils_nothing(world: World, member: str) -> None:
    for number in range(object_keys.MOST_OF_MEMBER + 1):
        world.store.put(object_keys.REPORTS, f"{member}junk/{sha256(str(number).encode())}.json", b"x")
    report = world.audit()
    assert report.passed, report.first_problem
    (finding,) = report.findings
    assert finding.startswith(
        f"{object_keys.REPORTS}/{member}: got more than {object_keys.MOST_OF_MEMBER} objects, want about ten"
    )
    assert f"{member.split('/')[-2]} or the store's operator wrote them" in finding


SPARE = ("confirmation", "inventory")
"""What a round's result does not stand on."""

WRITERS = {
    **dict.fromkeys(("manifest", "validation", "confirmation"), "westbrook"),
    **dict.fromkeys(("vote", "input set", "inventory", "sealing key"), "birch"),
    "model": "a node, the service provider",
    "record": "a node",
    "commit list": "the service provider",
}


@pytest.mark.parametrize("what", [what for what in STORED if what not in SPARE])
def test_a_changed_byte_is_found_and_the_object_named(world: World, what: str) -> None:
    bucket, stored = world.key_of(what)
    world.store.flip(bucket, stored)
    report = world.audit()
    assert not report.passed
    assert f"{bucket}/{stored}" in str(report.first_problem)


@pytest.mark.parametrize("what", SPARE)
def test_a_changed_byte_of_what_the_result_does_not_stand_on_is_a_finding(world: World, what: str) -> None:
    bucket, stored = world.key_of(what)
    world.store.flip(bucket, stored)
    report = world.audit()
    assert report.first_problem is None
    (finding,) = report.findings
    assert f"{bucket}/{stored}: got bytes with SHA-256" in finding
    assert finding.endswith(f"; {WRITERS[what]} or the store's operator wrote it, or it is damaged")


@pytest.mark.parametrize("written", [b"what an operator prefers", None], ids=["a newer version", "a deletion marker"])
@pytest.mark.parametrize("what", STORED)
def test_what_was_written_over_an_object_spoils_nothing_and_is_a_finding_with_who_could_have(
    world: World, what: str, written: bytes | None
) -> None:
    bucket, stored = world.key_of(what)
    world.store.put(bucket, stored, written)
    report = world.audit()
    assert report.first_problem is None
    assert report.passed
    (finding,) = report.findings
    newest = "a deletion marker" if written is None else "version v2"
    assert finding.startswith(
        f"{bucket}/{stored}: got 2 versions, the newest {newest}, want the first only; {WRITERS[what]} or the store"
    )
    assert report.to_json()["findings"] == [finding]


@pytest.mark.parametrize(
    ("kind", "signer"), [(Kind.SEALING_KEY, "birch"), (Kind.VOTE, "birch"), (Kind.CONFIRMATION, "westbrook")]
)
def test_junk_beside_a_statement_spoils_nothing(world: World, kind: Kind, signer: str) -> None:
    place = object_keys.statement(LAST, kind, NodeName(signer))
    forged = signing.to_bytes(
        signing.sign(kind, signer, {"public_key": "0" * 64}, world.maker.context(LAST), key("a stranger"))
    )
    world.store.put(place.bucket, place.key(sha256(forged)), forged)
    world.store.put(place.bucket, place.key(sha256(b"announced")), b"other bytes")
    report = world.audit()
    assert report.first_problem is None
    (finding,) = report.findings
    assert place.key(sha256(b"announced")) in finding


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"counts": [[20, 0], [0, 20]]}, "got a confusion matrix that is none of 39 correct of 40"),
        (
            {"counts": [[20, 0], [1, 19]], "classes": ["benign", "malignant"]},
            "got a confusion matrix of other classes than malignant, benign",
        ),
        ({"counts": [[20, 0], [1, 19]], "above": 20}, "got histograms of scores that are none of its confusion matrix"),
        ({"above": 19}, "got histograms of scores that are none of its confusion matrix"),
    ],
)
def test_counts_that_are_none_of_the_tested_records_are_refused(
    world: World, said: dict[str, Any], problem: str
) -> None:
    prefix = object_keys.statement(LAST, Kind.CONFIRMATION, HospitalName("westbrook"))
    for stored in [one for one in world.store.objects if one[0] == prefix.bucket and one[1].startswith(prefix.prefix)]:
        del world.store.objects[stored]
    state = world.ledger.states[LAST]
    assert state.result is not None
    world.maker.current = state.opened.previous_model
    body = {"model": state.result.new_model, "correct": 39, "tested": 40}
    if "counts" in said:
        classes = said.get("classes", ["malignant", "benign"])
        body["confusion"] = {"classes": classes, "counts": said["counts"]}
    if "above" in said:
        body["scores"] = [{"own": [20 - said["above"], *[0] * 8, said["above"]], "others": [20, *[0] * 9]}]
    world.maker.say(LAST, Kind.CONFIRMATION, "westbrook", body)
    found = str(world.audit().first_problem)
    assert "/hospitals/westbrook/" in found
    assert problem in found


@pytest.mark.parametrize(
    "what", ["model", "record", "commit list", "manifest", "validation", "vote", "input set", "sealing key"]
)
def test_an_object_that_vanished_is_missed_and_its_place_named(world: World, what: str) -> None:
    bucket, stored = world.key_of(what)
    del world.store.objects[bucket, stored]
    report = world.audit()
    assert not report.passed
    assert f"{bucket}/{stored.rpartition('/')[0]}" in str(report.first_problem)


def test_what_a_hospital_writes_beneath_anothers_place_spoils_no_audit(world: World) -> None:
    vote = object_keys.statement(LAST, Kind.VOTE, NodeName("birch"))
    world.store.put(object_keys.REPORTS, f"{vote.prefix}hospitals/westbrook/{sha256(b'x')}.json", b"anything")
    report = world.audit()
    assert report.first_problem is None
    assert "1 beside them are no evidence" in next(check.detail for check in report.checks if check.name == "objects")


def test_a_second_manifest_of_a_hospital_is_told_and_spoils_no_round(world: World) -> None:
    name = HospitalName("westbrook")
    world.maker.say(LAST, Kind.MANIFEST, name, manifest_body(world.study, name, RoundId(9), sha256(b"validation")))
    report = world.audit()
    assert report.first_problem is None
    assert f"{name} posted another manifest" in next(
        check.detail for check in report.checks if check.name == "manifests"
    )


def test_a_second_differing_vote_of_a_node_is_found(world: World) -> None:
    result = world.ledger.states[LAST].result
    assert result is not None
    world.maker.vote(replace(result, verdicts=0), NodeName("birch"))
    assert "second decision of birch" in str(world.audit().first_problem)


def test_an_end_that_a_node_signed_beside_its_vote_is_found(world: World) -> None:
    result = world.ledger.states[LAST].result
    assert result is not None
    end = Abort(LAST, result.study_digest, result.commit_root, result.previous_model, Reason.ENGINE_FAILED, ())
    ledger = world.maker.members.ledger
    signed = signing.sign_abort("birch", end, ledger.chain_id, Address(ledger.contract), key("birch"))
    world.maker.post(object_keys.statement(LAST, Kind.ABORT, NodeName("birch")), signing.to_bytes(signed))
    assert "second decision of birch" in str(world.audit().first_problem)
    forged = signing.sign_abort("birch", end, ledger.chain_id, Address(ledger.contract), key("alder"))
    other = object_keys.statement(LAST, Kind.ABORT, NodeName("alder"))
    world.maker.post(other, signing.to_bytes(replace(forged, signer="alder", signature=signed.signature)))
    assert "alder" not in str(world.audit().first_problem), "what alder did not sign is none of its own"


def test_a_node_that_voted_for_something_else_does_not_spoil_a_majority(world: World) -> None:
    world.maker.open(RoundId(5))
    del world.ledger.states[RoundId(5)]
    result = world.maker.finish(RoundId(5), signers=["alder", "birch"])
    place = object_keys.statement(RoundId(5), Kind.VOTE, NodeName("cedar"))
    del world.store.objects[place.bucket, world.only(place)]
    world.maker.vote(replace(result, verdicts=1), NodeName("cedar"))
    report = world.audit(5)
    assert report.first_problem is None
    assert "cedar signed another" in next(check.detail for check in report.checks if check.name == "votes")


def test_junk_in_the_place_of_a_vote_that_the_ledger_did_not_count_spoils_no_audit(world: World) -> None:
    world.maker.finish(RoundId(5), signers=["alder", "birch"])
    place = object_keys.statement(RoundId(5), Kind.VOTE, NodeName("cedar"))
    for number in range(2):
        world.maker.post(place, b"junk %d" % number)
    report = world.audit(5)
    assert report.passed, report.first_problem


@pytest.mark.parametrize("kind", [Kind.SEALING_KEY, Kind.INPUT_SET, Kind.VOTE])
def test_a_node_that_floods_its_own_place_spoils_no_audit_of_a_recorded_round(world: World, kind: Kind) -> None:
    world.maker.post(object_keys.report(LAST, SUFFIX), RoundObjects(world.store, LAST).pack())
    place = object_keys.statement(LAST, kind, NodeName("birch"))
    for number in range(300):
        world.store.put(place.bucket, place.key(Sha256(f"{number:064x}")), b"junk")
    report = world.audit()
    assert report.passed, report.first_problem
    (finding,) = (each for each in report.findings if "got more than" in each)
    assert finding.startswith(f"{object_keys.REPORTS}/rounds/{LAST}/nodes/birch/")


@pytest.mark.parametrize("kind", [Kind.SEALING_KEY, Kind.INPUT_SET])
def test_what_a_node_signs_once_more_is_told_and_spoils_no_round(world: World, kind: Kind) -> None:
    started = world.ledger.states[LAST].opened.previous_model
    world.maker.current = started
    world.maker.say(LAST, kind, "birch", {"another": "one"})
    report = world.audit()
    assert report.passed, report.first_problem
    assert sum("birch signed another one beside it" in check.detail for check in report.checks) == 1


def test_fewer_signers_than_a_majority_of_all_nodes_are_refused(world: World) -> None:
    world.maker.finish(RoundId(5), signers=["alder"])
    assert "1 of 3 nodes signed" in str(world.audit(5).first_problem)


def test_signatures_that_fit_no_stored_vote_are_refused(world: World) -> None:
    world.ledger.sent[LAST] = (world.ledger.sent[RoundId(1)][0], *world.ledger.sent[LAST][1:])
    assert "no node of the study made over this result" in str(world.audit().first_problem)


def test_a_hospital_that_was_never_authorised_is_refused(world: World) -> None:
    world.ledger.hospitals[key("westbrook").address] = HospitalStatus.REGISTERED
    assert "westbrook is registered" in str(world.audit().first_problem)


def test_a_hospital_revoked_after_the_round_leaves_it_valid(world: World) -> None:
    world.ledger.hospitals[key("westbrook").address] = HospitalStatus.REVOKED
    assert world.audit().passed


@attack(
    by="store_operator",
    to="change",
    tries="to show an auditor a manifest that its hospital did not sign",
    costs="nothing",
    seen="the manifest, as the audit's first problem",
)
def test_a_manifest_signed_by_somebody_else_is_refused(world: World) -> None:
    maker = world.maker
    original = maker.say

    def forged(round_id: RoundId, kind: Kind, name: str, body: dict[str, object]) -> Sha256:
        if kind is Kind.MANIFEST and name == "westbrook":
            statement = signing.sign(kind, name, body, maker.context(round_id), key("a stranger"))
            return maker.post(object_keys.statement(round_id, kind, HospitalName(name)), signing.to_bytes(statement))
        return original(round_id, kind, name, body)

    maker.say = forged  # type: ignore[method-assign,assignment]
    maker.finish(RoundId(7))
    report = world.audit(7)
    assert "manifests" in str(report.first_problem)
    assert "hospitals/westbrook/manifest/" in str(report.first_problem)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda record: record.model_copy(update={"strikes": {}}), "strikes and budget"),
        (lambda record: record.model_copy(update={"budget": 5}), "budget"),
        (lambda record: record.model_copy(update={"quarantined": (HospitalName("hillside"),)}), "quarantined"),
        (lambda record: record.model_copy(update={"study": "another"}), "study"),
        (lambda record: record.model_copy(update={"nodes": record.nodes[::-1]}), "nodes"),
    ],
)
@attack(
    by="node",
    to="change",
    tries="to write strikes, budget or quarantine into a record that do not follow from the rounds before",
    costs="a majority that votes for it",
    seen="the field, as the audit's first problem",
)
def test_a_record_that_the_rounds_before_it_contradict_is_refused(
    world: World, change: Callable[[RoundRecord], RoundRecord], problem: str
) -> None:
    world.maker.finish(RoundId(5), change=change)
    assert problem in str(world.audit(5).first_problem)


@pytest.mark.parametrize(
    "absent", [{}, {"hillside": "forged_manifest"}], ids=["said nothing of", "gave another reason for"]
)
def test_an_absence_that_a_node_signed_otherwise_than_the_record_is_found(world: World, absent: dict[str, str]) -> None:
    round_id = RoundId(2)
    assert world.audit(round_id).first_problem is None
    place = object_keys.statement(round_id, Kind.INPUT_SET, NodeName("birch"))
    stored = world.only(place)
    ((_, said),) = world.store.objects.pop((place.bucket, stored))
    assert said is not None
    body = signing.from_bytes(said).body
    assert body["absent"] == {"hillside": ABSENT_REASON}
    world.maker.current = world.ledger.states[round_id].opened.previous_model
    world.maker.say(round_id, Kind.INPUT_SET, "birch", {**body, "absent": absent})
    assert "birch signed another input set than the record's" in str(world.audit(round_id).first_problem)


def test_a_record_that_says_otherwise_than_the_ledger_is_refused(world: World) -> None:
    state = world.ledger.states[LAST]
    assert state.finalised is not None
    world.ledger.states[LAST] = replace(state, finalised=replace(state.finalised, verdicts=0b11))
    report = world.audit()
    assert "verdicts: got 31, the ledger says 3" in str(report.first_problem)
    assert {check.name for check in report.checks if check.outcome is Outcome.NOT_CHECKED} >= {
        "votes",
        "manifests",
        "validations",
    }


def _detail(report: AuditReport, name: str) -> str:
    """What a check of this name says."""
    return next(check.detail for check in report.checks if check.name == name)


def test_four_strikes_quarantine_and_the_audit_counts_them_itself(world: World) -> None:
    for number in (5, 6):
        world.maker.finish(RoundId(number), rejected=["southmoor"])
    assert "in quarantine: southmoor" in _detail(world.audit(6), "strikes and budget")
    world.maker.finish(RoundId(7))
    assert "southmoor" in str(world.audit(7).first_problem)
    assert "it was in quarantine" in str(world.audit(7).first_problem)


def test_a_hospital_takes_part_again_without_strikes_once_the_ledger_holds_its_release(world: World) -> None:
    for number in (5, 6):
        world.maker.finish(RoundId(number), rejected=["southmoor"])
    world.maker.strikes.pop(HospitalName("southmoor"))
    world.maker.finish(RoundId(7))
    assert "it was in quarantine" in str(world.audit(7).first_problem)
    world.ledger.releases.append((RoundId(5), key("southmoor").address))
    assert "it was in quarantine" in str(world.audit(7).first_problem)
    world.ledger.releases.append((RoundId(6), key("southmoor").address))
    report = world.audit(7)
    assert report.first_problem is None
    assert "released by the nodes: southmoor" in _detail(report, "strikes and budget")


def _blame(world: World, number: int, *names: str) -> None:
    """A round that a majority of nodes aborts, blaming these hospitals, as an honest maker carries it on."""
    world.maker.open(RoundId(number))
    world.ledger.abort(RoundId(number), *(key(name).address for name in names))
    for name in map(HospitalName, names):
        world.maker.strikes[name] = (*world.maker.strikes.get(name, ()), RoundId(number))
    world.maker.done.append(RoundId(number))


def test_whom_a_majority_blames_for_an_aborted_round_has_a_strike(world: World) -> None:
    _blame(world, 5, "southmoor", "hillside")
    world.maker.finish(RoundId(6))
    assert world.audit(5).first_problem is None
    assert world.audit(6).first_problem is None
    world.maker.strikes.pop(HospitalName("hillside"))
    world.maker.finish(RoundId(7))
    assert "strikes: the record says" in str(world.audit(7).first_problem)


def test_an_abort_without_a_majority_strikes_nobody(world: World) -> None:
    _blame(world, 5, "southmoor")
    state = world.ledger.states[RoundId(5)]
    world.ledger.states[RoundId(5)] = replace(state, decided=None)
    world.maker.finish(RoundId(6))
    assert "strikes: the record says" in str(world.audit(6).first_problem)


def test_blame_for_aborted_rounds_quarantines_like_rejections(world: World) -> None:
    _blame(world, 5, "southmoor")
    _blame(world, 6, "southmoor")
    world.maker.finish(RoundId(7))
    assert "it was in quarantine" in str(world.audit(7).first_problem)


def test_a_strike_follows_a_hospital_to_its_next_key(world: World) -> None:
    former = key("southmoor, formerly").address
    world.ledger.moved[former] = key("southmoor").address
    world.maker.open(RoundId(5))
    world.ledger.abort(RoundId(5), former)
    world.maker.strikes[HospitalName("southmoor")] += (RoundId(5),)
    world.maker.done.append(RoundId(5))
    world.maker.finish(RoundId(6))
    assert world.audit(6).first_problem is None


def test_a_damaged_model_is_found_in_its_own_round_and_in_the_next(world: World) -> None:
    result = world.ledger.states[RoundId(1)].result
    assert result is not None
    world.store.flip(object_keys.MODELS, object_keys.model().key(result.new_model))
    assert "model: " in str(world.audit(1).first_problem)
    report = world.audit(2)
    assert "lineage" in str(report.first_problem)
    assert result.new_model in str(report.first_problem)


def test_a_round_that_starts_elsewhere_than_the_one_before_it_ended_breaks_the_lineage(world: World) -> None:
    first = world.ledger.states[RoundId(1)].result
    assert first is not None
    world.maker.current = first.previous_model
    world.maker.finish(RoundId(5))
    assert "round 5: starts from another model" in str(world.audit(5).first_problem)
    assert "round 5: starts from another model" in str(world.audit(4).first_problem)


def _continuing(world: World, continues: int, initial: Sha256 | None = None) -> AuditReport:
    """The audit of round 4 where rounds 1 and 2 are another study's, of which the ledger has it continue one."""
    for number in (RoundId(1), RoundId(2)):
        state = world.ledger.states[number]
        world.ledger.states[number] = replace(state, opened=replace(state.opened, study=study_id("the one before")))
    last = world.ledger.states[RoundId(2)].result
    assert last is not None
    world.ledger.continues = RoundId(continues)
    world.ledger.initial = initial or last.new_model
    return world.audit(4)


def test_the_first_model_of_a_study_that_continues_another_is_its_rounds(world: World) -> None:
    report = _continuing(world, 2)
    assert report.passed
    detail = next(check.detail for check in report.checks if check.name == "lineage")
    assert "of round 2 of another study, which this one continues" in detail


def test_a_study_that_continues_another_round_than_it_starts_from_breaks_the_lineage(world: World) -> None:
    assert "its study continues round 3, which ended without a model" in str(_continuing(world, 3).first_problem)


def test_a_study_that_was_registered_with_another_model_than_its_rounds_breaks_the_lineage(world: World) -> None:
    problem = _continuing(world, 2, sha256(b"another model")).first_problem
    assert "its study continues round 2, but was registered with another model" in str(problem)


def test_a_model_that_is_no_single_tensor_is_refused(world: World) -> None:
    world.maker.finish(RoundId(5), new_model=b"\x08\x00\x00\x00\x00\x00\x00\x00not safetensors")
    assert "model" in str(world.audit(5).first_problem)
    assert "no safetensors file" in str(world.audit(5).first_problem)


def test_a_model_of_another_size_breaks_the_lineage(world: World) -> None:
    world.maker.finish(RoundId(5), new_model=model(5, size=63))
    assert "another number of parameters" in str(world.audit(5).first_problem)


def test_an_open_round_and_an_unknown_one_do_not_pass(world: World) -> None:
    world.maker.open(RoundId(5))
    assert "has not ended" in str(world.audit(5).first_problem)
    assert not world.audit(5).passed
    assert world.audit(77).status is RoundStatus.NONE
    assert not world.audit(77).passed


def test_an_aborted_round_holds_while_its_model_stays_current(world: World) -> None:
    assert "round 4 went on from it" in world.audit(3).checks[1].detail
    world.maker.open(RoundId(5))
    world.ledger.abort(RoundId(5))
    assert "is current" in world.audit(5).checks[1].detail
    bucket, stored = world.key_of("model")
    world.store.flip(bucket, stored)
    assert f"{bucket}/{stored}" in str(world.audit(5).first_problem)


@pytest.mark.parametrize("body", [[1], {"hospital": 5}, {"components": {"a": 1}}, {"envelopes": 3}])
def test_evidence_of_any_form_ends_in_a_finding(world: World, body: object) -> None:
    maker = world.maker
    original = maker.say

    def odd(round_id: RoundId, kind: Kind, name: str, said: dict[str, object]) -> Sha256:
        strange = kind is Kind.MANIFEST and name == "westbrook"
        return original(
            round_id,
            kind,
            name,
            {**said, **(body if isinstance(body, dict) else {"components": body})} if strange else said,
        )

    maker.say = odd  # type: ignore[method-assign,assignment]
    maker.finish(RoundId(5))
    assert "hospitals/westbrook/manifest/" in str(world.audit(5).first_problem)


def test_a_failed_validation_under_a_manifest_is_refused(world: World) -> None:
    maker = world.maker
    original = maker.say

    def failing(round_id: RoundId, kind: Kind, name: str, said: dict[str, object]) -> Sha256:
        return original(round_id, kind, name, validation_body(False) if kind is Kind.VALIDATION else said)

    maker.say = failing  # type: ignore[method-assign,assignment]
    maker.finish(RoundId(5))
    assert "failed its data contract" in str(world.audit(5).first_problem)


def test_a_commit_list_with_another_root_is_no_commit_list(world: World) -> None:
    _, stored = world.key_of("commit list")
    del world.store.objects[object_keys.REPORTS, stored]
    world.maker.post(object_keys.commit(LAST), canonical_json({"northgate": sha256(b"another manifest")}))
    assert "no list of manifests under the ledger's commit root" in str(world.audit().first_problem)


def test_a_list_that_was_posted_but_never_committed_does_no_harm(world: World) -> None:
    world.maker.post(object_keys.commit(LAST), canonical_json({"northgate": sha256(b"before a crash")}))
    assert world.audit().passed


def test_the_json_form_says_the_same(world: World) -> None:
    bucket, stored = world.key_of("vote")
    world.store.flip(bucket, stored)
    said = world.audit().to_json()
    assert (said["round"], said["status"], said["passed"]) == (LAST, "finalised", False)
    assert stored in said["first_problem"]
    assert [check["name"] for check in said["checks"]][:3] == ["ledger", "record", "votes"]


def test_a_proof_bundle_leaves_out_what_another_put_under_the_rounds_names(world: World) -> None:
    place = object_keys.statement(LAST, Kind.MANIFEST, HospitalName("westbrook"))
    (_, manifest) = world.key_of("manifest")
    world.store.put(place.bucket, place.key(sha256(b"announced")), b"other bytes")
    held = Bundle(pack(RoundEvidence(LAST, world.ledger, world.store), {}))
    assert [found.key for found in held.history(place.bucket, place.prefix)] == [manifest]


def test_the_list_of_rounds_names_a_bad_object_and_goes_on(world: World) -> None:
    bucket, stored = world.key_of("record")
    world.store.flip(bucket, stored)
    found = summaries(world.ledger, world.store)
    assert [item.round for item in found if item.trouble is None] == [1, 2, 3]
    (bad,) = (item for item in found if item.trouble is not None)
    assert (bad.round, bad.status, bad.study) == (LAST, RoundStatus.FINALISED, "wisconsin")
    assert f"{bucket}/{stored}" in str(bad.trouble)
