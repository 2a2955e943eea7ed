from __future__ import annotations

import hashlib

import pytest

from pipeline.domain import Address
from pipeline.errors import EvidenceRejected
from pipeline.evidence import merkle
from pipeline.evidence.canonical import canonical_json, sha256
from pipeline.evidence.membership import membership, study_digest

ELM, OAK, FIR = (Address("0x" + digit * 40) for digit in "aBc")
TERMS = {"study": {"name": "heath"}, "hospitals": {"elm": ELM, "oak": OAK, "fir": FIR}}


@pytest.mark.parametrize("hospital", [ELM, OAK, FIR])
def test_each_hospital_is_under_the_root_that_the_digest_holds(hospital: Address) -> None:
    shown = membership(TERMS, hospital)
    assert (shown.account, shown.rest) == (hospital, sha256(canonical_json(TERMS)))
    leaves = ["00" * 12 + account[2:].lower() for account in (ELM, OAK, FIR)]
    root = merkle.root(leaves)
    assert merkle.verify(root, "00" * 12 + hospital[2:].lower(), shown.proof)
    assert study_digest(TERMS) == hashlib.sha256(bytes.fromhex(root) + bytes.fromhex(shown.rest)).hexdigest()


def test_nobody_else_is_shown_to_be_one() -> None:
    with pytest.raises(EvidenceRejected, match="got an account of no hospital of the study, want one of elm, oak, fir"):
        membership(TERMS, Address("0x" + "d" * 40))


def test_the_digest_changes_with_every_field() -> None:
    others = [TERMS | {"study": {"name": "moor"}}, TERMS | {"hospitals": {"elm": ELM, "oak": FIR, "fir": OAK}}]
    assert len({study_digest(terms) for terms in (TERMS, *others)}) == 3


def test_two_hospitals_have_two_accounts() -> None:
    with pytest.raises(EvidenceRejected, match="for two of them, want an account of its own for each"):
        study_digest(TERMS | {"hospitals": {"elm": ELM, "oak": ELM, "fir": FIR}})
