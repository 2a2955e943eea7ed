"""A round's model as a folder: the file, what to do with a record, the card, and the proof where it comes from."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.audit import proof_bundle
from pipeline.audit.proof_bundle import Bundle
from pipeline.audit.round_evidence import RoundEvidence
from pipeline.chain.ledger import study_id
from pipeline.chain.transcript import Transcript
from pipeline.consent.consent_log import ConsentLog
from pipeline.domain import RoundId, Sha256
from pipeline.errors import EvidenceRejected, Misconfigured, Refused, shown
from pipeline.evidence.canonical import read_object, sha256
from pipeline.evidence.membership import study_digest
from pipeline.export import hub_card
from pipeline.export.content import Content
from pipeline.export.encoding import encoded
from pipeline.export.forms.base import Form
from pipeline.export.lineage import Lineage
from pipeline.host.files import write_atomic
from pipeline.ledger_types.state import RoundState
from pipeline.report.round_view import RoundView, gather_proven
from pipeline.site.consortium import Consortium
from pipeline.site.settings import Settings
from pipeline.store import object_keys
from pipeline.study.study import Study
from pipeline.views import model_card
from pipeline.views.observer import Observer

PROOF = "proof.zip"
"""Where `wardround model verify` looks for the proof bundle, beside the file."""
PREPARATION = "preparation.json"
CARD = "card.json"
BACKBONE = "backbone.onnx"
"""The study's public network, where it names one: what the file was made with."""
README = "README.md"
"""Model hubs show this one."""
DESCRIBING = (PREPARATION, CARD, README)
"""What describes a file, beside it."""


@dataclass(frozen=True)
class TakenOut:
    """What leaves of one round: file name to bytes."""

    round: RoundId
    files: Mapping[str, bytes]


def take_out(name: str, round_id: RoundId | None, form: Form, observer: Observer, settings: Settings) -> TakenOut:
    """The export of a study's round, by default of its last one with a model.

    Raises Refused where it has none, EvidenceRejected where the ledger disowns it, Misconfigured where this machine
    cannot write the form.
    """
    _ = form.made_with
    study = Study.load(settings.studies / f"{name}.yaml")
    finished = [state for state in observer.ledger.rounds(study_id(name)) if state.finalised is not None]
    state = _chosen(name, round_id, finished)
    evidence = RoundEvidence(state.round, observer.ledger, observer.store)
    digest = evidence.result.new_model
    if not observer.ledger.verify_model(state.round, digest):
        raise EvidenceRejected(f"round {state.round}: the ledger does not vouch for model {digest[:16]}; do not use it")
    if evidence.record.measures_scale:
        raise Refused(
            f"round {state.round}: it measured the scale of the inputs and trained nothing; take a later round's model"
        )
    terms = _terms(study, Consortium.load(settings.consortium), evidence.record.study_digest, observer)
    content = Content(evidence.context, terms, evidence.model(digest), _backbone(terms, observer))
    rounds = sum(one.round <= state.round for one in finished)
    transcript = observer.ledger.transcript(state)
    proof = proof_bundle.pack(evidence, transcript)
    # As whoever gets the folder reads it, who has the proof and nothing else.
    nodes = tuple(node.address for node in evidence.record.nodes)
    proven = RoundEvidence(state.round, Transcript.read(transcript, nodes), Bundle(proof))
    view = gather_proven(proven, observer.ledger.development)
    return TakenOut(state.round, _files(content, form, encoded(content, form), proof, view, rounds))


def check_beside(beside: Mapping[str, bytes], lineage: Lineage, file: bytes, proof: bytes, view: RoundView) -> None:
    """Raise EvidenceRejected unless what lies beside a file that holds is what an export writes there.

    `beside` is what is there, by its name; how many rounds came before, a card alone says.
    """
    wanted = _files(lineage.content, lineage.form, file, proof, view, _rounds(beside, view))
    for name, data in beside.items():
        if wanted[name] != data:
            raise EvidenceRejected(
                f"{name}: says other than the model and the proof: it was altered, or written with another proof of"
                " the round; take the folder as it was exported"
            )


def _rounds(beside: Mapping[str, bytes], view: RoundView) -> int:
    """How many rounds came before, by the card; raises EvidenceRejected where it says none that can be."""
    if CARD not in beside:
        if README in beside:
            raise EvidenceRejected(
                f"{README}: cannot be checked without {CARD}, which says how many rounds came before; take the folder"
                " as it was exported"
            )
        return 1
    rounds = read_object(beside[CARD]).get("rounds")
    if type(rounds) is not int or not 1 <= rounds <= view.round:
        raise EvidenceRejected(
            f"{CARD}: rounds: got {shown(rounds)}, want a number from 1 to the round's, {view.round}"
        )
    return rounds


def _files(
    content: Content, form: Form, file: bytes, proof: bytes, view: RoundView, rounds: int
) -> Mapping[str, bytes]:
    model = sha256(content.model.to_bytes())
    card = model_card.card(content.approved, view, model, rounds, content.model.scale)
    backbone = {} if content.backbone is None else {BACKBONE: content.backbone}
    files = {form.file: file, PREPARATION: content.preparation, PROOF: proof, **backbone}
    digests = {name: sha256(data) for name, data in files.items()}
    return {
        **files,
        CARD: hub_card.as_bytes(hub_card.to_json(card, view, content, form, digests)),
        README: hub_card.markdown(card, view, content, form, digests).encode(),
    }


def refuse_what_is_there(folder: Path) -> None:
    """Raise Refused where something lies there, be it a link to nowhere."""
    if os.path.lexists(folder):
        raise Refused(f"{folder}: is there already, and nothing is written over; name a folder that is not there")


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make `folder` with these files, whole or not at all.

    Raises Refused where something lies there, Misconfigured where it cannot be made.
    """
    refuse_what_is_there(folder)
    try:
        aside = Path(tempfile.mkdtemp(dir=folder.absolute().parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise Misconfigured(f"{folder}: cannot be made: {error.strerror}; name another folder") from error
    try:
        for name, data in files.items():
            write_atomic(aside / name, data)
        aside.chmod(0o755)
        # Onto an empty folder at most, where somebody has just made one.
        aside.rename(folder)
    except OSError as error:
        raise Misconfigured(f"{folder}: cannot be written: {error.strerror}; name another folder") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _chosen(name: str, round_id: RoundId | None, finished: list[RoundState]) -> RoundState:
    if not finished:
        raise Refused(f"study {name}: no round has ended in a model yet; run one, then export its model")
    if round_id is None:
        return finished[-1]
    state = next((one for one in finished if one.round == round_id), None)
    if state is None:
        raise Refused(
            f"round {round_id}: is none of study {name} that ended in a model; those are"
            f" {', '.join(str(one.round) for one in finished)}"
        )
    return state


def _backbone(terms: Mapping[str, Any], observer: Observer) -> bytes | None:
    backbone = Study.of_terms(terms).backbone
    if backbone is None:
        return None
    key_prefix = object_keys.backbone()
    return observer.store.get(key_prefix.bucket, key_prefix.key(backbone.sha256), backbone.sha256)


def _terms(study: Study, members: Consortium, digest: Sha256, observer: Observer) -> Mapping[str, Any]:
    """The terms of this digest: those of the study's file, or those to which an owner has published consent."""
    terms = study.terms(members)
    if study_digest(terms) == digest:
        return terms
    for position in ConsentLog(observer.store).positions(study, members):
        for decision in position.decisions:
            if decision.digest == digest and decision.terms is not None:
                return decision.terms
    raise Refused(
        f"study {study.name}: the round ran under digest {digest[:16]}, which is neither the file's of today nor one to"
        " which an owner has published consent; put the file and the version of Wardround of that time in place"
    )
