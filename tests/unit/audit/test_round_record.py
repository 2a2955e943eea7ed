"""The canonical record: the same bytes from every node, and nothing that contradicts itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.audit.round_record import RoundRecord, build
from pipeline.domain import Address, Context, HospitalName, RoundId, Verdict
from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import canonical_json, sha256
from tests.support.finished_rounds import CONTRACT, STUDY_DIGEST, consortium, study

NAMES = tuple(HospitalName(name) for name in ("northgate", "eastfield", "westbrook", "southmoor", "hillside"))
MODEL = sha256(b"model")
NEW_MODEL = sha256(b"new model")
ROOT = sha256(b"root")


def parts(**change: Any) -> dict[str, Any]:
    return {
        "commit_root": ROOT,
        "inputs": {name: sha256(name.encode()) for name in NAMES[:4]},
        "absent": {NAMES[4]: "no_manifest"},
        "failed": {},
        "accepted": NAMES[:3],
        "budget": None,
        "next_budget": 2**40,
        "strikes": {NAMES[3]: (RoundId(6), RoundId(7))},
        "quarantined": (),
        "new_model": NEW_MODEL,
        "averaged": 3,
        "programs": sha256(b"programs"),
    } | change


def record(**change: Any) -> RoundRecord:
    context = Context(31337, Address(CONTRACT), STUDY_DIGEST, RoundId(7), MODEL)
    return build(study(), consortium(study()), context, **parts(**change))


def test_the_bytes_do_not_depend_on_the_order_in_which_a_node_learned_things() -> None:
    inputs = dict(reversed(list(parts()["inputs"].items())))
    assert record(inputs=inputs, accepted=set(NAMES[:3])).to_bytes() == record().to_bytes()


def test_it_is_canonical_json_whose_digest_the_nodes_vote_for() -> None:
    data = record().to_bytes()
    assert data == canonical_json(json.loads(data))
    assert record().digest == sha256(data) == record().result.record


def test_it_comes_back_from_its_bytes() -> None:
    assert RoundRecord.from_bytes(record().to_bytes()) == record()


def test_bit_i_of_the_verdicts_is_the_studys_hospital_i() -> None:
    found = record(accepted=(NAMES[0], NAMES[2], NAMES[3]))
    assert found.verdict_bits == 0b01101
    assert found.verdicts[NAMES[1]] is Verdict.REJECTED
    assert found.accepted == (NAMES[0], NAMES[2], NAMES[3])


def test_it_names_members_with_the_addresses_that_sign() -> None:
    members = consortium(study())
    assert [(member.name, member.address) for member in record().hospitals] == list(members.hospitals.items())
    assert [node.address for node in record().nodes] == [node.address for node in members.nodes.values()]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"accepted": NAMES[:2]}, "want at least 3"),
        ({"accepted": (*NAMES[:2], NAMES[4])}, "want hospitals of the input set"),
        ({"absent": {}}, "want one for each"),
        ({"absent": {NAMES[4]: "Broken pipe: patient 17"}}, "absent"),
        ({"absent": {NAMES[4]: "no_manifest", NAMES[0]: "revoked"}}, "in exactly one of them"),
        ({"averaged": 4}, "at most the 3"),
        ({"new_model": "not a digest"}, "new_model"),
        ({"strikes": {HospitalName("elsewhere"): (RoundId(1),)}}, "hospitals of the study"),
    ],
)
def test_parts_that_contradict_one_another_are_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(EvidenceRejected, match=problem):
        record(**change)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        record().to_bytes() + b"\n",
        record().to_bytes().replace(b'"round":7', b'"round":7.0'),
    ],
    ids=["empty", "list", "object", "no text", "a newline more", "a float"],
)
def test_bytes_that_are_no_canonical_record_are_refused(data: bytes) -> None:
    with pytest.raises(EvidenceRejected, match="round record"):
        RoundRecord.from_bytes(data)


def test_a_record_with_a_field_more_is_refused() -> None:
    data = canonical_json({**json.loads(record().to_bytes()), "note": "x"})
    with pytest.raises(EvidenceRejected, match="note"):
        RoundRecord.from_bytes(data)
