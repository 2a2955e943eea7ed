"""From which round an exported file comes, by a proof bundle and nothing else.

The weights go back into the fixed-point bytes that the ledger anchors. Then the whole file is written anew from these,
and from the terms whose digest the round's record holds: a file that differs in any byte is no export of that round.
Nothing that the file holds is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.audit.round_evidence import RoundEvidence
from pipeline.domain import MODEL_CAP, UPDATE_BITS
from pipeline.errors import EvidenceRejected, shown
from pipeline.evidence.canonical import read_object, sha256
from pipeline.export.content import Content, Origin
from pipeline.export.encoding import encoded
from pipeline.export.forms import FORMS
from pipeline.export.forms.base import Form, Tensors
from pipeline.layers import Network
from pipeline.model_file import Model, Vector
from pipeline.store.objects import MAX_BYTES
from pipeline.study.study import Study

LARGEST_FILE = MAX_BYTES
"""Bytes of an exported file: its weights take half of the model's."""


@dataclass(frozen=True)
class Lineage:
    """A file that is an export of a round, and what it holds."""

    form: Form
    content: Content

    def to_json(self) -> dict[str, Any]:
        """For `wardround model verify --json`."""
        return {
            "format": self.form.name,
            "study": self.content.study.name,
            "round": self.content.context.round,
            "model": sha256(self.content.model.to_bytes()),
        }


def check(data: bytes, evidence: RoundEvidence, backbone: bytes | None = None) -> Lineage:
    """Where a file comes from, by the evidence of one round that has been verified; `backbone` is the study's file.

    Raises EvidenceRejected with the reason where it is no export of that round, Misconfigured where this machine has
    not what writes such files.
    """
    form = _form(data)
    description = form.description(data)
    origin = Origin.read(description)
    _check_round(origin, evidence)
    study = Study.of_terms(origin.terms)
    model = Model(_fixed_point(form.tensors(data, study.network), study.network), origin.scale)
    _check_model(model, evidence)
    _check_backbone(study, backbone)
    content = Content(evidence.context, origin.terms, model, backbone if study.backbone else None)
    _check_description(description, content, origin, form)
    if encoded(content, form) != data:
        raise EvidenceRejected(
            f"graph: got the weights and the description of round {evidence.round}, and around them another graph, or"
            f" bytes, than the study's model has as {form.name}: the file was altered; ask for the export again"
        )
    return Lineage(form, content)


def _form(data: bytes) -> Form:
    form = next((form for form in FORMS.values() if form.recognises(data)), None)
    if form is None:
        raise EvidenceRejected(f"got {len(data)} bytes that are none of {', '.join(FORMS)}; name an exported file")
    return form


def _check_round(origin: Origin, evidence: RoundEvidence) -> None:
    record = evidence.record
    got = origin.context
    want = evidence.context
    if (got.chain_id, got.contract) != (want.chain_id, want.contract):
        raise EvidenceRejected(
            f"got a file of chain {got.chain_id}, contract {got.contract}; the proof is of chain {want.chain_id},"
            f" contract {want.contract}"
        )
    if origin.terms_digest != got.study_digest:
        raise EvidenceRejected(
            f"terms: got ones with digest {origin.terms_digest[:16]} under {got.study_digest[:16]}: the description"
            " was altered"
        )
    if got.study_digest != record.study_digest:
        raise EvidenceRejected(
            f"got a file of a study with digest {got.study_digest[:16]}; the proof is of study {record.study} with"
            f" {record.study_digest[:16]}: take a proof of the file's own study and version"
        )
    if got.round != evidence.round:
        raise EvidenceRejected(
            f"got a file that says round {got.round}; the proof is of round {evidence.round}: take that round's proof"
        )


def _check_backbone(study: Study, backbone: bytes | None) -> None:
    if study.backbone is None:
        return
    got = "no file" if backbone is None else f"a file with SHA-256 {sha256(backbone)}"
    if backbone is None or sha256(backbone) != study.backbone.sha256:
        raise EvidenceRejected(
            f"backbone: got {got}, want the study's, {study.backbone.sha256}: it lies beside the file, as it was"
            " exported; take the folder as it was"
        )


def _fixed_point(tensors: Tensors, network: Network) -> Vector:
    """The parameters as the rounds have them, (P,) int64; raises EvidenceRejected naming weights that are none."""
    parts = []
    for parameter in network.parameters:
        numbers = tensors[parameter.name].astype(np.float64).ravel() * (1 << UPDATE_BITS)
        if not (np.abs(numbers) <= MODEL_CAP).all() or (numbers != np.rint(numbers)).any():
            raise EvidenceRejected(
                f"weights: {parameter.name} holds numbers that no round ends with: want multiples of 2^-{UPDATE_BITS}"
                f" within {MODEL_CAP >> UPDATE_BITS}; the file was altered"
            )
        parts.append(numbers.astype(np.int64))
    return np.concatenate(parts)


def _check_model(model: Model, evidence: RoundEvidence) -> None:
    got = sha256(model.to_bytes())
    result = evidence.result
    if got == result.new_model:
        return
    if got == result.previous_model:
        raise EvidenceRejected(
            f"weights: got those of the model with which round {evidence.round} began, want those with which it ended"
        )
    raise EvidenceRejected(
        f"weights: got a model with digest {got[:16]}, round {evidence.round} ended with {result.new_model[:16]}: they"
        " were altered, or are another round's"
    )


def _check_description(description: bytes, content: Content, origin: Origin, form: Form) -> None:
    if origin.made_with != form.made_with:
        raise EvidenceRejected(
            f"got a file that {_versions(origin.made_with)} wrote, this machine has {_versions(form.made_with)}, which"
            " may write other bytes: check it where Wardround has those versions, or ask for the form safetensors"
        )
    wanted = content.description(form.made_with)
    if wanted != description:
        path, got, want = _difference(read_object(description), read_object(wanted))
        raise EvidenceRejected(
            f"description: {path}: got {got}, want {want}: it was altered, or another version of Wardround wrote it"
        )


def _versions(made_with: Any) -> str:
    return ", ".join(f"{package} {version}" for package, version in sorted(made_with.items())) or "no package"


def _difference(got: Any, want: Any, path: str = "") -> tuple[str, str, str]:
    """The first place in which two descriptions differ, and what stands there."""
    if isinstance(got, dict) and isinstance(want, dict):
        pairs = [(key, got.get(key), want.get(key)) for key in sorted(got.keys() | want.keys())]
    elif isinstance(got, list) and isinstance(want, list) and len(got) == len(want):
        pairs = [(str(index), *both) for index, both in enumerate(zip(got, want, strict=True))]
    else:
        pairs = []
    for key, one, other in pairs:
        if one != other:
            return _difference(one, other, f"{path}.{key}" if path else key)
    return path or "its form", shown(got), shown(want)
