"""Consent is signed over a study's very terms, numbered, and taken back; what does not hold counts as none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.consent import approval
from pipeline.domain import HospitalName, Kind, Sha256
from pipeline.errors import EvidenceRejected, NotApproved, Refused
from pipeline.evidence import signing
from pipeline.evidence.membership import study_digest
from pipeline.site import identity
from pipeline.site.consortium import Consortium, LedgerLocation, Node
from pipeline.site.identity import Identity, StoreCredentials
from pipeline.study import study_diff
from pipeline.study.study import Study
from tests.support.installations import study

STUDY = study()


@pytest.fixture
def owner(tmp_path: Path) -> Identity:
    home = tmp_path / "hospitals" / "aster"
    identity.create(home, sharing=True)
    StoreCredentials.generate("hospital-aster").save(home / "store-credentials.json")
    return Identity.load(home)


@pytest.fixture
def members(owner: Identity) -> Consortium:
    address = owner.key.address
    return Consortium(
        ledger=LedgerLocation(chain_id=31337, contract="0x" + "12" * 20, development=True),
        hospitals={name: f"0x{index:040x}" for index, name in enumerate(STUDY.hospitals)}
        | {HospitalName(owner.name): address},
        nodes={name: Node(address=address, certificate_sha256="ab" * 32, host="127.0.0.1:9") for name in STUDY.nodes},
    )


def require(owner: Identity, members: Consortium, read: Study = STUDY) -> None:
    approval.require(owner, read.name, read.digest(members), members.ledger)


def test_a_consent_holds_the_terms_whose_digest_it_names(owner: Identity, members: Consortium) -> None:
    digest = approval.approve(owner, STUDY, members)
    require(owner, members)
    (decision,) = approval.kept(owner, STUDY.name, members.ledger)
    assert (decision.digest, decision.number, decision.given) == (digest, 1, True)
    assert decision.terms == STUDY.terms(members)
    assert study_digest(decision.terms) == digest == STUDY.digest(members)


def test_approving_twice_signs_once(owner: Identity, members: Consortium) -> None:
    approval.approve(owner, STUDY, members)
    approval.approve(owner, STUDY, members)
    assert len(approval.statements(owner, STUDY.name)) == 1


def test_a_study_that_changed_since_it_was_read_is_neither_approved_nor_withdrawn(
    owner: Identity, members: Consortium
) -> None:
    with pytest.raises(Refused, match="it has changed"):
        approval.approve(owner, STUDY, members, Sha256("ab" * 32))
    assert approval.kept(owner, STUDY.name, members.ledger) == ()
    approval.approve(owner, STUDY, members)
    with pytest.raises(Refused, match="it has changed"):
        approval.withdraw(owner, STUDY, members, Sha256("ab" * 32))
    require(owner, members)


def test_what_was_withdrawn_stops_the_worker_until_it_is_approved_again(owner: Identity, members: Consortium) -> None:
    with pytest.raises(Refused, match="nothing to withdraw"):
        approval.withdraw(owner, STUDY, members)
    digest = approval.approve(owner, STUDY, members)
    approval.withdraw(owner, STUDY, members)
    with pytest.raises(NotApproved, match="has not approved"):
        require(owner, members)
    assert approval.given(owner, STUDY.name, digest, members.ledger) is False
    with pytest.raises(Refused, match="nothing to withdraw"):
        approval.withdraw(owner, STUDY, members)
    approval.approve(owner, STUDY, members)
    require(owner, members)
    decisions = approval.kept(owner, STUDY.name, members.ledger)
    assert [(each.number, each.given) for each in decisions] == [(1, True), (2, False), (3, True)]


def forged(change: Callable[[dict[str, object]], object]) -> Callable[[Identity, Consortium], bytes]:
    """A consent that its owner signed over a body that was changed before."""

    def make(owner: Identity, members: Consortium) -> bytes:
        digest = STUDY.digest(members)
        body: dict[str, object] = {
            "study": STUDY.name,
            "digest": digest,
            "number": 1,
            "terms": json.loads(json.dumps(STUDY.terms(members))),
        }
        change(body)
        return signing.to_bytes(
            signing.sign(Kind.CONSENT, owner.name, body, approval._context(digest, members.ledger), owner.key)
        )

    return make


def of_other_terms(body: dict[str, object]) -> None:
    body["terms"]["study"]["seed"] = 99  # type: ignore[index]


@pytest.mark.parametrize(
    "make",
    [
        forged(of_other_terms),
        forged(lambda body: body.pop("terms")),
        forged(lambda body: body.pop("number")),
        forged(lambda body: body.update(number=0)),
        forged(lambda body: body.update(number=True)),
        forged(lambda body: body.update(more=1)),
        forged(lambda body: body.update(terms=[])),
        forged(lambda body: body.update(terms={"study": 1})),
        forged(lambda body: body.update(study="pneumonia")),
        forged(lambda body: body.update(digest="cd" * 32)),
        lambda owner, members: b"{}",
    ],
)
def test_a_consent_with_anything_amiss_is_none(
    owner: Identity, members: Consortium, make: Callable[[Identity, Consortium], bytes]
) -> None:
    digest = approval.approve(owner, STUDY, members)
    (owner.home / "approvals" / f"{digest}.json").write_bytes(make(owner, members))
    with pytest.raises(NotApproved, match="is not the owner's"):
        require(owner, members)


def test_a_withdrawal_in_the_place_of_a_consent_is_none(owner: Identity, members: Consortium) -> None:
    digest = approval.approve(owner, STUDY, members)
    approval.withdraw(owner, STUDY, members)
    (owner.home / "approvals" / f"{digest}.json").write_bytes(approval.statements(owner, STUDY.name)[1][1])
    with pytest.raises(NotApproved, match="is not the owner's"):
        require(owner, members)


def test_a_decision_by_another_key_is_refused(owner: Identity, members: Consortium) -> None:
    digest = approval.approve(owner, STUDY, members)
    statement = signing.from_bytes(approval.statements(owner, STUDY.name)[0][1])
    with pytest.raises(EvidenceRejected, match="got a signature by"):
        approval.read(statement, digest, members.ledger, members.ledger.contract)  # type: ignore[arg-type]


def test_what_changed_is_told_field_by_field(members: Consortium) -> None:
    assert study_diff.changes(STUDY.terms(members), STUDY.terms(members)) == ()
    training = STUDY.training.model_copy(update={"steps": 9})
    layered = ({"Linear": {"out_features": 8}}, {"Linear": {"out_features": 2}})
    other = STUDY.model_copy(
        update={"training": training, "model": layered, "hospitals": STUDY.hospitals[:4], "min_accepted": 4}
    )
    found = {
        change.path: (change.before, change.after)
        for change in study_diff.changes(STUDY.terms(members), other.terms(members))
    }
    assert found == {
        "study.training.steps": ("4", "9"),
        "study.model": (
            "Linear(out_features=16), ReLU(), Linear(out_features=2)",
            "Linear(out_features=8), Linear(out_features=2)",
        ),
        "study.hospitals": ("aster, birch, cedar, dahlia, elm", "aster, birch, cedar, dahlia"),
        "study.min_accepted": (None, "4"),
        "hospitals.elm": (members.hospitals["elm"], None),  # type: ignore[index]
    }


def test_a_block_is_shown_with_its_layers() -> None:
    block = [{"ReLU6": {}}, {"Conv2d": {"out_channels": 4, "kernel_size": 1}}]
    assert study_diff.layers([{"Residual": {"layers": block}}, {"GlobalAvgPool2d": {}}]) == (
        "Residual(ReLU6(), Conv2d(out_channels=4, kernel_size=1))",
        "GlobalAvgPool2d()",
    )


def test_a_change_of_code_certificate_or_ledger_is_told_too(members: Consortium) -> None:
    before = STUDY.terms(members)
    nodes = dict(members.nodes)
    nodes["west"] = nodes["west"].model_copy(update={"certificate_sha256": "cd" * 32})  # type: ignore[index]
    after = STUDY.terms(members.model_copy(update={"nodes": nodes}))
    after["code"] = before["code"] | {"parts": before["code"]["parts"] | {"pipeline.mpc": "ef" * 32}}
    assert [change.label for change in study_diff.changes(before, after)] == [
        "TLS certificate of west",
        "Code: pipeline.mpc",
    ]


def test_every_field_of_a_study_has_words(members: Consortium) -> None:
    spelled = [path for path, _ in study_diff._leaves(STUDY.terms(members)) if path.startswith(("study.", "ledger."))]
    assert [path for path in spelled if path not in study_diff.FIELDS] == []
    assert all(line.unit for line in study_diff.rule(STUDY.terms(members)))
