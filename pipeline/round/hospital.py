"""A hospital in a round: validate its records, train, share the update, confirm the new model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets import records
from pipeline.domain import HospitalName, Kind, NodeName, RoundId, RoundStatus, Sha256, Statement
from pipeline.errors import DataRejected, EvidenceRejected, ObjectMissing, Unavailable
from pipeline.evidence import signing
from pipeline.evidence.canonical import sha256
from pipeline.evidence.signing import from_bytes, to_bytes
from pipeline.host.files import locked, write_secret
from pipeline.ingest import kept_scale
from pipeline.ingest.features import keep_features
from pipeline.ingest.freeze import freeze
from pipeline.ingest.passed import run_once
from pipeline.measures.confusion import Confusion
from pipeline.measures.scores import Scores
from pipeline.model_file import Vector
from pipeline.mpc import sharing
from pipeline.mpc.envelope import Envelope
from pipeline.mpc.manifest import Manifest, Sealed
from pipeline.round import restored, training
from pipeline.round.counts import counts
from pipeline.round.payload import payload
from pipeline.round.study_history import lineage
from pipeline.round.worker import RoundContext, hospital_worker
from pipeline.site.settings import Settings
from pipeline.store import object_keys
from pipeline.study.study import Study
from pipeline.train import network


def validate(study: str, round_id: RoundId, name: HospitalName, settings: Settings | None = None) -> Sha256:
    """Check the records against the data contract and publish pass or fail.

    Where a query makes them, it is asked now. Raises DataRejected naming the failed expectations.
    """
    ctx = _join(study, round_id, name, settings, RoundStatus.OPEN)
    freeze(ctx.worker.identity.home, ctx.worker.study.source)
    keep_features(ctx.worker.identity.home, ctx.worker.study.source)
    validation = run_once(ctx.worker.identity.home, ctx.worker.study, ctx.worker.digest)
    statement = ctx.worker.sign(Kind.VALIDATION, validation.body(), ctx.context)
    digest = ctx.worker.board.say(round_id, statement)
    if not validation.passed:
        raise DataRejected(name, validation.failed)
    return digest


def train(study: str, round_id: RoundId, name: HospitalName, settings: Settings | None = None) -> Path:
    """Train on the hospital's records from the ledger's current model.

    The update stays in the hospital's own folder.
    """
    ctx = _join(study, round_id, name, settings, RoundStatus.OPEN)
    worker = ctx.worker
    home = ctx.worker.identity.home
    update = training.update(worker, name, lineage(worker), ctx.model, round_id)
    path = _folder(home, round_id) / "update.i8"
    write_secret(path, update.astype("<i8").tobytes())
    return path


def share(study: str, round_id: RoundId, name: HospitalName, settings: Settings | None = None) -> Sha256:
    """Share update and fresh validation samples: sealed envelopes to the nodes and one signed manifest; its digest."""
    ctx = _join(study, round_id, name, settings, RoundStatus.OPEN)
    worker = ctx.worker
    folder = _folder(worker.identity.home, round_id)
    # Sealing is randomised: what was dealt first is dealt again, or two manifests of one round would contradict each
    # other.
    with locked(folder / "lock"):
        if not (folder / "manifest.json").exists():
            _deal(ctx, folder)
    manifest = from_bytes((folder / "manifest.json").read_bytes())
    for node in worker.study.nodes:
        worker.board.post(object_keys.envelope(round_id, name, node), (folder / f"{node}.envelope").read_bytes())
    return worker.board.say(round_id, manifest)


def confirm(study: str, round_id: RoundId, name: HospitalName, settings: Settings | None = None) -> Sha256:
    """Check the received model against the ledger and test it on the hospital's own records.

    Returns the digest of the signed confirmation.
    """
    ctx = _join(study, round_id, name, settings, RoundStatus.FINALISED)
    worker = ctx.worker
    shutil.rmtree(_folder(worker.identity.home, round_id), ignore_errors=True)
    digest = ctx.new_model
    if not worker.ledger.verify_model(round_id, digest):
        raise EvidenceRejected(f"round {round_id}: the ledger does not vouch for model {digest[:16]}; do not use it")
    model = worker.model(digest)
    if model.scale is not None:
        kept_scale.keep(worker.identity.home, worker.study, model.scale)
    source = worker.study.at(model).source
    test = records.read(worker.identity.home, source).test
    shares = network.probabilities(model.parameters, worker.study.network, test.inputs)
    body = {"model": digest} | _told(ctx.study, test.labels, shares)
    return worker.board.say(round_id, worker.sign(Kind.CONFIRMATION, body, ctx.context))


def _told(study: Study, labels: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]) -> dict[str, Any]:
    """What the study has a hospital tell of a model that gives its test records these shares (n, classes)."""
    classes = study.source.classes
    matrix = Confusion.count(labels, shares.argmax(axis=1), classes)
    told: dict[str, Any] = {"correct": matrix.correct, "tested": matrix.tested}
    # A round that measures the scale trains nothing: what its model answers tells of nobody's training.
    if study.source.measured or study.measures == "accuracy" or not matrix.may_be_told:
        return told
    told["confusion"] = matrix.to_json()
    scores = Scores.count(labels, shares, classes)
    if study.measures == "scores" and scores.may_be_told:
        told["scores"] = scores.to_json()
    return told


def _deal(ctx: RoundContext, folder: Path) -> None:
    worker = ctx.worker
    context = ctx.context
    name = HospitalName(worker.identity.name)
    nodes = worker.study.nodes
    secret = worker.identity.sharing_secret
    vector = payload(ctx.study, worker.digest, worker.identity, ctx.round_id, _update(ctx, folder))
    tested = None
    if layout := ctx.study.counted:
        counted, tested = counts(ctx, layout)
        vector = np.concatenate([vector, counted])
    components = dict(enumerate(sharing.share(vector, len(nodes), secret, context)))
    keys = ctx.sealing_keys()
    sealed: dict[NodeName, Sealed] = {}
    for index, node in enumerate(nodes):
        envelope = Envelope(context, name, node, sharing.held_by(index, len(nodes)), len(vector))
        data = envelope.seal(components, keys[node])
        write_secret(folder / f"{node}.envelope", data)
        sealed[node] = Sealed(sha256(data), len(data))
    manifest = Manifest(
        name,
        len(vector),
        tuple(map(sharing.component_digest, components.values())),
        sealed,
        sha256(to_bytes(_passed(ctx))),
        tested,
    )
    write_secret(folder / "manifest.json", to_bytes(worker.sign(Kind.MANIFEST, manifest.body(), context)))


def _update(ctx: RoundContext, folder: Path) -> Vector:
    try:
        return np.frombuffer((folder / "update.i8").read_bytes(), "<i8").astype(np.int64)
    except FileNotFoundError as error:
        raise Unavailable(
            f"{ctx.worker.identity.name}: got no update of round {ctx.round_id}; run the train task again"
        ) from error


def _passed(ctx: RoundContext) -> Statement:
    me = ctx.worker.identity

    def check(statement: Statement) -> None:
        signing.check(statement, Kind.VALIDATION, ctx.context, me.key.address)

    try:
        return ctx.worker.board.only(ctx.round_id, Kind.VALIDATION, HospitalName(me.name), check)
    except ObjectMissing as error:
        raise Unavailable(
            f"{ctx.worker.identity.name}: got no validation of round {ctx.round_id}; run the validate task again"
        ) from error


def _folder(home: Path, round_id: RoundId) -> Path:
    folder = home / "rounds" / str(round_id)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _join(
    study: str, round_id: RoundId, name: HospitalName, settings: Settings | None, status: RoundStatus
) -> RoundContext:
    worker = hospital_worker(study, name, settings)
    if status is RoundStatus.OPEN:
        restored.refuse_earlier(worker.identity.home, worker.ledger, round_id)
    return RoundContext.join(worker, round_id, status)
