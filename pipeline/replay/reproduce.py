"""Verify and aggregate a finished round again, where all its data lie on one machine, with the study's own engine.

A stage of `dvc repro`: it reads the round's record, the recomputed updates and every hospital's folder, runs all
parties here, and compares the model with the one that the chain anchors.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import typer

from pipeline.audit.round_record import RoundRecord
from pipeline.domain import Address, Condition, Context, HospitalName, Sha256
from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import sha256
from pipeline.host import program
from pipeline.host.files import write_atomic
from pipeline.model_file import Model, Vector, read_model
from pipeline.mpc import engines, reference_projected, sharing
from pipeline.mpc.engines.base import (
    AggregateTask,
    Components,
    Party,
    ProjectedTask,
    RangeTask,
    VerifyOutput,
    VerifyTask,
)
from pipeline.mpc.local_parties import deal, local_parties, run_together
from pipeline.mpc.projections import of_components
from pipeline.round.following import measured_model, updated
from pipeline.round.parameters import in_order, rule_parameters
from pipeline.round.payload import length, payload
from pipeline.site.identity import Identity
from pipeline.site.settings import Settings
from pipeline.study.study import Study

T = TypeVar("T")

_DEADLINE_SECONDS = 900.0


def reproduce(
    study: Study,
    record: RoundRecord,
    previous: Model,
    updates: Mapping[HospitalName, Vector],
    finished: int,
    settings: Settings,
) -> Sha256:
    """The new model's digest; raises EvidenceRejected when verdicts or model differ from the record."""
    study = study.at(previous)
    if record.panel != study.rule.panel:
        raise EvidenceRejected(
            f"round {record.round}: got a record of panel {record.panel}, want {study.rule.panel} as the study has it"
        )
    names = tuple(hospital.name for hospital in record.hospitals if hospital.name in record.inputs)
    nodes = len(record.nodes)
    shared = {}
    # Any sharing opens to the same result; the context only keeps the components of this run apart from the round's.
    context = Context(0, Address("reproduction"), record.study_digest, record.round, record.previous_model)
    for name in names:
        hospital = Identity.load(settings.hospital(name))
        vector = payload(study, record.study_digest, hospital, record.round, updates[name])
        shared[name] = sharing.share(vector, nodes, hospital.sharing_secret, context)
    held = deal(shared, nodes)
    if study.source.measured:
        return _reproduce_scale(study, record, previous, held, names, settings)
    if study.evaluation_mode.projects:
        return _reproduce_large(study, record, previous, updates, finished, held, names, settings)
    engine = engines.engine(study.engine, settings)
    parameters = rule_parameters(study, finished, record.budget)
    task = VerifyTask(in_order(study, names, record.seed), study.network, parameters, previous.parameters)
    verified = _together(settings, record, lambda party: engine.verify(study.protocol, task, held[party.index], party))
    accepted = _accepted(record, task, verified)
    size = study.network.size
    parts: list[Components] = [
        {name: {index: words[:size] for index, words in node_components[name].items()} for name in accepted}
        for node_components in held
    ]
    opening = AggregateTask(accepted, study.network.size)
    opened = _together(
        settings, record, lambda party: engine.aggregate(study.protocol, opening, parts[party.index], party)
    )
    return _same_model(record, updated(previous, opened.total, opened.count))


def _reproduce_scale(
    study: Study,
    record: RoundRecord,
    previous: Model,
    held: Sequence[Components],
    names: tuple[HospitalName, ...],
    settings: Settings,
) -> Sha256:
    engine = engines.engine(study.engine, settings)
    task = RangeTask(names, length(study))
    checked = _together(
        settings, record, lambda party: engine.check_range(study.protocol, task, held[party.index], party)
    )
    within = tuple(name for name, bit in zip(names, checked.within, strict=True) if bit)
    opening = AggregateTask(_require(record, within, None), task.size)
    opened = _together(
        settings, record, lambda party: engine.aggregate(study.protocol, opening, held[party.index], party)
    )
    return _same_model(record, measured_model(study, previous, opened.total, opened.count))


def _reproduce_large(
    study: Study,
    record: RoundRecord,
    previous: Model,
    updates: Mapping[HospitalName, Vector],
    finished: int,
    held: Sequence[Components],
    names: tuple[HospitalName, ...],
    settings: Settings,
) -> Sha256:
    if record.seed is None:
        raise EvidenceRejected(f"round {record.round}: got a record without a seed, want one of a large model's round")
    parameters = rule_parameters(study, finished, record.budget)
    hospitals = in_order(study, names, record.seed)
    task = ProjectedTask(hospitals, study.network, parameters, previous.parameters, record.seed)
    engine = engines.engine(study.engine, settings)

    def verify(party: Party) -> VerifyOutput:
        components = held[party.index]
        projected = of_components(components, study.network.size, task.seed)
        return engine.verify_projected(study.protocol, task, projected, components, party)

    accepted = _accepted(record, task, _together(settings, record, verify))
    # whoever has all updates here needs no shares to add them
    total, count = reference_projected.aggregate(AggregateTask(accepted, study.network.size), updates)
    return _same_model(record, updated(previous, total, count))


def _accepted(record: RoundRecord, task: VerifyTask, verified: VerifyOutput) -> tuple[HospitalName, ...]:
    bits = dict(zip(task.hospitals, verified.accepted, strict=True))
    accepted = tuple(hospital.name for hospital in record.hospitals if bits.get(hospital.name))
    return _require(record, accepted, verified.budget, verified.failures(task.hospitals))


def _require(
    record: RoundRecord,
    accepted: tuple[HospitalName, ...],
    budget: int | None,
    failed: Mapping[HospitalName, Condition] | None = None,
) -> tuple[HospitalName, ...]:
    """Who is accepted; raises EvidenceRejected unless the record says the same."""
    if accepted != record.accepted or budget != record.next_budget or (failed or {}) != record.failed:
        raise EvidenceRejected(
            f"round {record.round}: reproduced verdicts accept {', '.join(accepted)}, the record says"
            f" {', '.join(record.accepted)}"
        )
    return accepted


def _same_model(record: RoundRecord, model: Model) -> Sha256:
    digest = sha256(model.to_bytes())
    if digest != record.new_model:
        raise EvidenceRejected(f"round {record.round}: reproduced model {digest}, the record says {record.new_model}")
    return digest


def _together(settings: Settings, record: RoundRecord, call: Callable[[Party], T]) -> T:
    """Run `call` for every party at once; all of them open the same output."""
    tls = [settings.node(node.name) / "tls" for node in record.nodes]
    with ExitStack() as kept:
        folders = [Path(kept.enter_context(tempfile.TemporaryDirectory())) for _ in tls]
        return run_together(local_parties(tls, folders, _DEADLINE_SECONDS), call)[0]


def main(
    study: Annotated[Path, typer.Option(help="study file")],
    record: Annotated[Path, typer.Option(help="the round's canonical record")],
    previous_model: Annotated[Path, typer.Option(help="the model that the round started from (safetensors)")],
    rounds_finished: Annotated[int, typer.Option(min=0, help="rounds that ended in a model before this one")],
    updates: Annotated[Path, typer.Option(help="folder of the recomputed updates, HOSPITAL.npy")],
    out: Annotated[Path, typer.Option(help="JSON file of the outcome")],
) -> None:
    """Verify and aggregate again; exits 1 unless verdicts and model are those of the record."""
    loaded = Study.load(study)
    written = RoundRecord.from_bytes(record.read_bytes())
    previous = read_model(previous_model.read_bytes(), loaded.network.size)
    if sha256(previous_model.read_bytes()) != written.previous_model:
        raise EvidenceRejected(
            f"{previous_model}: got another model than the round started from, want {written.previous_model}"
        )
    vectors = {name: np.load(updates / f"{name}.npy") for name in written.inputs}
    digest = reproduce(loaded, written, previous, vectors, rounds_finished, Settings.load())
    write_atomic(
        out, (json.dumps({"round": written.round, "model_sha256": digest, "equal": True}, indent=2) + "\n").encode()
    )


if __name__ == "__main__":
    program.run(main)
