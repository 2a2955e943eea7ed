"""What a majority of a study's nodes signs: files that owners hand on to one another, and their count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from pipeline.chain.ledger import Ledger, StudyState
from pipeline.domain import Address, Change
from pipeline.errors import EvidenceRejected, Refused
from pipeline.evidence import signing
from pipeline.evidence.canonical import read_json
from pipeline.host.documents import first_problem

AddressText = Annotated[Address, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]

_About = TypeVar("_About")


class OwnerFile(BaseModel):
    """What owners hand on to one another as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def read(cls, data: bytes) -> Self:
        """The file as its sender wrote it; raises EvidenceRejected naming the field that has another form."""
        try:
            return cls.model_validate(read_json(data))
        except ValidationError as error:
            raise EvidenceRejected(f"{first_problem(error)}; want a file that another owner handed on") from error


def about_one(subjects: Sequence[_About]) -> _About:
    """What all files of a majority are about; raises EvidenceRejected when they are about several things or none."""
    if not subjects or any(one != subjects[0] for one in subjects):
        raise EvidenceRejected(f"got {len(subjects)} files that are not all about one thing, want a majority's to one")
    return subjects[0]


def require_next(number: int | None, study: str, state: StudyState) -> None:
    """Raise EvidenceRejected unless `number` is that of the study's next change."""
    if number != state.changes + 1:
        raise EvidenceRejected(f"got change {number} of study {study}, want {state.changes + 1}: ask and sign again")


def majority_signatures(
    change: Change, signatures: Mapping[str, str], study: str, state: StudyState, ledger: Ledger
) -> list[str]:
    """One signature to `change` of each node that signed it; `signatures` are by who handed them on.

    Raises EvidenceRejected for one that is by no node of the study, Refused when they are fewer than a majority of all.
    """
    signature_by_node: dict[Address, str] = {}
    for name, signature in signatures.items():
        signer = signing.changer(change, signature, ledger.chain_id, ledger.contract)
        if signer not in state.nodes:
            raise EvidenceRejected(
                f"{name}: got a signature by {signer}, or to another change; want one by a node of study {study}:"
                f" {', '.join(state.nodes)}"
            )
        signature_by_node[signer] = signature
    if len(signature_by_node) < state.threshold:
        raise Refused(
            f"{len(signature_by_node)} nodes of study {study} signed the change, want {state.threshold}: let more"
            " owners sign it"
        )
    return list(signature_by_node.values())
