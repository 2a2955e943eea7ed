"""`dvc repro` at a round's tag: from the hospitals' records to the very model that the reference computes, with the study's own engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.audit.record import RoundRecord, build
from pipeline.audit.repository import FinishedRound, Remote, commit_round
from pipeline.consortium import Consortium, LedgerLocation
from pipeline.datasets.pool import split
from pipeline.datasets.records import read
from pipeline.domain import Address, Context, RoundId
from pipeline.evidence.canonical import sha256
from pipeline.identity import Identity, StoreCredentials
from pipeline.models import model_bytes
from pipeline.mpc import reference, rule
from pipeline.mpc.engines.base import AggregateTask, VerifyTask
from pipeline.roles.parameters import rule_parameters
from pipeline.roles.payload import payload
from pipeline.secret import Secret
from pipeline.settings import PROJECT, Settings
from pipeline.setup import demonstration, members
from pipeline.store import policies
from pipeline.study import Study
from pipeline.train import misbehaviour, stage
from pipeline.train.network import initial_model
from tests.support.finished_rounds import CONTRACT
from tests.support.minio import StoreServer

pytestmark = [pytest.mark.minio, pytest.mark.spu]

DVC = Path(sys.executable).with_name("dvc")
PROVIDER = StoreCredentials("reproducing-provider", Secret(b"one-more-secret-of-this-machine"))
ROUND = RoundId(1)


@dataclass(frozen=True)
class Installation:
    """A machine on which all of a study's data lie, and a first round computed there by the reference."""

    settings: Settings
    study: Study
    consortium: Consortium
    remote: Remote

    def record(self) -> tuple[RoundRecord, bytes, bytes]:
        """The round's record with the model before and the model after it."""
        study, digest = self.study, self.study.digest(self.consortium)
        previous = initial_model(study)
        updates, payloads = {}, {}
        for name in study.hospitals:
            hospital = Identity.load(self.settings.hospital(name))
            samples = read(hospital.home, study.source).train
            rows, _ = split(samples, hospital.sharing_secret)
            behaviour = misbehaviour.configured(hospital.home)
            updates[name] = stage.run(
                study, previous, samples[rows], round_id=ROUND, finished=0, hospital=name, budget=None, behaviour=behaviour
            )
            payloads[name] = payload(study, digest, hospital, ROUND, updates[name])
        task = VerifyTask(study.hospitals, study.network, rule_parameters(study, 0, None), previous)
        bits, budget = reference.verify(task, payloads)
        accepted = tuple(name for name, bit in zip(study.hospitals, bits, strict=True) if bit)
        total, count = reference.aggregate(AggregateTask(accepted, study.network), {name: updates[name] for name in accepted})
        before, after = model_bytes(previous), model_bytes(rule.new_model(previous, total, count))
        record = build(
            study,
            self.consortium,
            Context(31337, Address(CONTRACT), digest, ROUND, sha256(before)),
            commit_root=sha256(b"root"),
            inputs={name: sha256(name.encode()) for name in study.hospitals},
            absent={},
            accepted=accepted,
            budget=None,
            next_budget=budget,
            strikes={name: (ROUND,) for name in study.hospitals if name not in accepted},
            quarantined=(),
            new_model=sha256(after),
            averaged=count,
        )
        return record, before, after

    def write_down(self, records: Path, record: RoundRecord, before: bytes, after: bytes) -> None:
        params = {"python": sys.executable, "records": ".", "study": self.study.name, "round": 1, "hospitals": list(self.study.hospitals)}
        finished = FinishedRound(
            round=ROUND,
            study=self.study.name,
            seconds=1_790_000_000,
            message="Round 1\n",
            files={
                "rounds/1/record.json": record.to_bytes(),
                f"studies/{self.study.name}.yaml": (PROJECT / "studies" / f"{self.study.name}.yaml").read_bytes(),
                "dvc.yaml": (PROJECT / "dvc.yaml").read_bytes(),
                "params.yaml": yaml.safe_dump(params).encode(),
            },
            models={sha256(before): before, sha256(after): after},
        )
        commit_round(records, finished, self.remote)


@pytest.fixture(scope="module")
def installation(minio: StoreServer, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARDROUND_HOME", str(tmp_path_factory.mktemp("home")))
        settings = Settings.load()
    study = Study.load(PROJECT / "studies" / "breast_cancer.yaml")
    everybody = members.members({study.name: study})
    members.create_actors(settings, everybody)
    demonstration.configure_hospitals(settings, study.hospitals)
    demonstration.deal_records(settings, {study.name: study})
    consortium = members.publish(
        settings, everybody, LedgerLocation(chain_id=31337, contract=CONTRACT, development=True), lambda name: "127.0.0.1:29000"
    )
    minio.administrator.admit(PROVIDER, policies.provider())
    return Installation(settings, study, consortium, Remote(minio.endpoint, PROVIDER))


def repro(installation: Installation, records: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "WARDROUND_HOME": str(installation.settings.home)}
    subprocess.run(["git", "-C", str(records), "checkout", "--quiet", "round-1"], check=True)
    return subprocess.run([DVC, "repro", *options], cwd=records, check=False, capture_output=True, text=True, env=environment)


def test_a_round_comes_out_bit_for_bit_and_another_model_does_not(installation: Installation, tmp_path: Path) -> None:
    record, before, after = installation.record()
    installation.write_down(tmp_path / "records", record, before, after)
    ended = repro(installation, tmp_path / "records")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    outcome = json.loads((tmp_path / "records" / "reproduction" / "outcome.json").read_bytes())
    assert outcome["model_sha256"] == record.new_model
    cached = [path for path in (tmp_path / "records" / ".dvc" / "cache").rglob("*") if path.is_file()]
    assert sorted(sha256(path.read_bytes()) for path in cached) == sorted((record.previous_model, record.new_model))

    other = model_bytes(np.zeros(installation.study.network.size, dtype=np.int64))
    forged = record.model_copy(update={"new_model": sha256(other)})
    installation.write_down(tmp_path / "forged", forged, before, other)
    shutil.copytree(tmp_path / "records" / "reproduction", tmp_path / "forged" / "reproduction")
    ended = repro(installation, tmp_path / "forged", "--single-item", "verify_and_aggregate")
    assert ended.returncode != 0
    assert f"reproduced model {record.new_model}" in ended.stdout + ended.stderr
