"""A hospital in a round: validate its records, train, share the update, confirm the new model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from pipeline import places
from pipeline.datasets import pool, records
from pipeline.domain import HospitalName, Kind, NodeName, RoundId, RoundStatus, Sha256, Statement
from pipeline.errors import DataRejected, EvidenceRejected, ObjectMissing, Unavailable
from pipeline.evidence import signing
from pipeline.evidence.canonical import sha256
from pipeline.evidence.signing import from_bytes, to_bytes
from pipeline.files import locked, write_secret
from pipeline.ingest import validate as ingest
from pipeline.models import Vector
from pipeline.mpc import sharing
from pipeline.mpc.envelope import Envelope
from pipeline.mpc.manifest import Manifest, Sealed
from pipeline.roles.desk import Sitting, hospital_desk
from pipeline.roles.lineage import global_model, lineage
from pipeline.roles.payload import payload
from pipeline.settings import Settings
from pipeline.train import misbehaviour, network
from pipeline.train import stage as training


def validate(study: str, round_id: RoundId, name: HospitalName, settings: Settings | None = None) -> Sha256:
    """Check the records against the data contract and publish pass or fail; raises DataRejected naming the failed expectations."""
    sitting = _join(study, round_id, name, settings, RoundStatus.OPEN)
    validation = ingest.run(sitting.desk.identity.home, sitting.desk.study)
    statement = sitting.desk.sign(Kind.VALIDATION, validation.body(), sitting.context)
    digest = sitting.desk.board.say(round_id, statement)
    if not validation.passed:
        raise DataRejected(name, validation.failed)
    return digest


def train(study: str, round_id: RoundId, name: HospitalName, settings: Settings | None = None) -> Path:
    """Train on the hospital's records from the ledger's current model; the update stays in the hospital's own folder."""
    sitting = _join(study, round_id, name, settings, RoundStatus.OPEN)
    desk, home = sitting.desk, sitting.desk.identity.home
    past = lineage(desk)
    samples = records.read(home, desk.study.source).train
    rows, _ = pool.split(samples, desk.identity.sharing_secret)
    update = training.run(
        desk.study,
        global_model(desk, sitting.previous_model),
        samples[rows],
        round_id=round_id,
        finished=past.finished,
        hospital=name,
        budget=past.budget,
        verdicts=past.verdicts(name),
        behaviour=misbehaviour.configured(home),
    )
    path = _folder(home, round_id) / "update.i8"
    write_secret(path, update.astype("<i8").tobytes())
    return path


def share(study: str, round_id: RoundId, name: HospitalName, settings: Settings | None = None) -> Sha256:
    """Share update and fresh validation samples: sealed envelopes to the nodes and one signed manifest; its digest."""
    sitting = _join(study, round_id, name, settings, RoundStatus.OPEN)
    desk = sitting.desk
    folder = _folder(desk.identity.home, round_id)
    # Sealing is randomised: what was dealt first is dealt again, or two manifests of one round would contradict each other.
    with locked(folder / "lock"):
        if not (folder / "manifest.json").exists():
            _deal(sitting, folder)
    manifest = from_bytes((folder / "manifest.json").read_bytes())
    for node in desk.study.nodes:
        desk.board.post(places.envelope(round_id, name, node), (folder / f"{node}.envelope").read_bytes())
    return desk.board.say(round_id, manifest)


def confirm(study: str, round_id: RoundId, name: HospitalName, settings: Settings | None = None) -> Sha256:
    """Check the received model against the ledger and test it on the hospital's own records; the signed confirmation's digest."""
    sitting = _join(study, round_id, name, settings, RoundStatus.FINALISED)
    desk = sitting.desk
    shutil.rmtree(_folder(desk.identity.home, round_id), ignore_errors=True)
    digest = sitting.new_model
    if not desk.ledger.verify_model(round_id, digest):
        raise EvidenceRejected(f"round {round_id}: the ledger does not vouch for model {digest[:16]}; do not use it")
    model = global_model(desk, digest)
    test = records.read(desk.identity.home, desk.study.source).test
    correct, tested = network.accuracy(model, desk.study.network, test)
    statement = desk.sign(Kind.CONFIRMATION, {"model": digest, "correct": correct, "tested": tested}, sitting.context)
    return desk.board.say(round_id, statement)


def _deal(sitting: Sitting, folder: Path) -> None:
    desk, context = sitting.desk, sitting.context
    name, nodes, secret = HospitalName(desk.identity.name), desk.study.nodes, desk.identity.sharing_secret
    vector = payload(desk.study, desk.digest, desk.identity, sitting.round_id, _update(sitting, folder))
    components = dict(enumerate(sharing.share(vector, len(nodes), secret, context)))
    keys = sitting.sealing_keys()
    sealed: dict[NodeName, Sealed] = {}
    for index, node in enumerate(nodes):
        envelope = Envelope(context, name, node, sharing.held_by(index, len(nodes)), len(vector))
        data = envelope.seal(components, keys[node])
        write_secret(folder / f"{node}.envelope", data)
        sealed[node] = Sealed(sha256(data), len(data))
    manifest = Manifest(
        name, len(vector), tuple(map(sharing.component_digest, components.values())), sealed, sha256(to_bytes(_passed(sitting)))
    )
    write_secret(folder / "manifest.json", to_bytes(desk.sign(Kind.MANIFEST, manifest.body(), context)))


def _update(sitting: Sitting, folder: Path) -> Vector:
    try:
        return np.frombuffer((folder / "update.i8").read_bytes(), "<i8").astype(np.int64)
    except FileNotFoundError as error:
        raise Unavailable(f"{sitting.desk.identity.name}: got no update of round {sitting.round_id}; run the train task again") from error


def _passed(sitting: Sitting) -> Statement:
    me = sitting.desk.identity

    def check(statement: Statement) -> None:
        signing.check(statement, Kind.VALIDATION, sitting.context, me.key.address)

    try:
        return sitting.desk.board.only(sitting.round_id, Kind.VALIDATION, HospitalName(me.name), check)
    except ObjectMissing as error:
        raise Unavailable(
            f"{sitting.desk.identity.name}: got no validation of round {sitting.round_id}; run the validate task again"
        ) from error


def _folder(home: Path, round_id: RoundId) -> Path:
    folder = home / "rounds" / str(round_id)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _join(study: str, round_id: RoundId, name: HospitalName, settings: Settings | None, status: RoundStatus) -> Sitting:
    return Sitting.join(hospital_desk(study, name, settings), round_id, status)
