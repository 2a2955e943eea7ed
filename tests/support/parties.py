"""Runs every party of an engine on this machine: certificates, sharing by random components, one thread per party."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline.domain import HospitalName
from pipeline.mpc import local_parties as local
from pipeline.mpc.engines.base import (
    AggregateOutput,
    AggregateTask,
    Components,
    Engine,
    Party,
    ProjectedTask,
    RangeOutput,
    RangeTask,
    VerifyOutput,
    VerifyTask,
)
from pipeline.mpc.projections import of_components

Words = npt.NDArray[np.int64]


def share(vector: Words, parties: int, generator: np.random.Generator) -> list[Words]:
    """Components that sum to `vector` in Z_2^64."""
    components = [generator.integers(-(2**63), 2**63, vector.size, dtype=np.int64) for _ in range(parties - 1)]
    return [*components, vector - sum(components, np.zeros_like(vector))]


def deal(payloads: Mapping[HospitalName, Words], parties: int, seed: int = 0) -> list[Components]:
    """What each party holds: of every hospital each component but its own index."""
    generator = np.random.default_rng(seed)
    shared = {hospital: share(vector, parties, generator) for hospital, vector in payloads.items()}
    return local.deal(shared, parties)


def self_signed(folder: Path, name: str, *alternatives: str, authority: bool = False) -> tuple[Path, Path]:
    """A node's certificate (for `name` and further DNS names) and private key, PEM."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(each) for each in (name, *alternatives)]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    cert_path = folder / "cert.pem"
    key_path = folder / "key.pem"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    key_path.chmod(0o600)
    return cert_path, key_path


def make_parties(count: int, folder: Path, deadline_seconds: float = 120) -> list[Party]:
    """One party per index, each with its own certificate, pinned by all."""
    homes = [folder / f"node-{index}" for index in range(count)]
    for home in homes:
        self_signed(home, home.name)
        (home / "work").mkdir()
    return local.local_parties(homes, homes, deadline_seconds)


def run_parties(
    engine: Engine,
    protocol: str,
    task: VerifyTask | RangeTask | AggregateTask,
    payloads: Mapping[HospitalName, Words],
    folder: Path,
    parties: Sequence[Party] | None = None,
    count: int = 3,
) -> list[VerifyOutput | RangeOutput | AggregateOutput]:
    """Output of every party; raises the first party's error."""
    outcomes = outcomes_of(engine, protocol, task, payloads, parties or make_parties(count, folder))
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def outcomes_of(
    engine: Engine | Sequence[Engine],
    protocol: str,
    task: VerifyTask | RangeTask | AggregateTask,
    payloads: Mapping[HospitalName, Words],
    parties: Sequence[Party],
    dealt: Sequence[Components] | None = None,
) -> list[VerifyOutput | RangeOutput | AggregateOutput | Exception]:
    """Output or error of every party, by index.

    `parties` may leave some out to have them missing, `dealt` replaces what they hold.
    """
    dealt = dealt or deal(payloads, len(parties[0].hosts))
    engines = engine if isinstance(engine, Sequence) else [engine] * len(parties)

    def compute(run_by: Engine, party: Party) -> VerifyOutput | RangeOutput | AggregateOutput:
        components = dealt[party.index]
        if isinstance(task, ProjectedTask):
            projections = of_components(components, task.network.size, task.seed)
            return run_by.verify_projected(protocol, task, projections, components, party)
        if isinstance(task, VerifyTask):
            return run_by.verify(protocol, task, components, party)
        if isinstance(task, RangeTask):
            return run_by.check_range(protocol, task, components, party)
        return run_by.aggregate(protocol, task, components, party)

    def run(run_by: Engine, party: Party) -> VerifyOutput | RangeOutput | AggregateOutput | Exception:
        try:
            return compute(run_by, party)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(parties)) as pool:
        return list(pool.map(run, engines, parties))
