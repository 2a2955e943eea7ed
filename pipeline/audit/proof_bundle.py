"""A proof bundle: all public evidence of one finalised round in a zip file, checked without chain and store.

ledger.json                  the round's transactions and receipts
reports/rounds/<round>/...   signed statements, committed list, canonical record and report, under the store's own keys
proofs/<hospital>.json       the Merkle proof of the hospital's manifest, and the verdict on it
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipeline.audit.audit_round import AuditReport, run
from pipeline.audit.checks import OF_ONE_ROUND, CheckStep, objects
from pipeline.audit.interfaces import RoundReader
from pipeline.audit.round_evidence import RoundEvidence
from pipeline.audit.round_record import RoundRecord
from pipeline.domain import HospitalName, RoundId, Sha256
from pipeline.errors import EvidenceRejected, ObjectMissing, shown
from pipeline.evidence import canonical, merkle
from pipeline.store import object_keys

LARGEST_BUNDLE = 1 << 30
"""Bytes, packed or not."""

_LARGEST_FILE = 64 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, OSError, RuntimeError, NotImplementedError, ValueError, OverflowError),
)
"""What Python's reader of zip files raises on damaged ones."""
_TIME = (1980, 1, 1, 0, 0, 0)
_PROOFS = "proofs/"


def pack(evidence: RoundEvidence, transcript: Mapping[str, Any]) -> bytes:
    """The bundle of a finalised round; the same evidence gives the same bytes.

    Raises EvidenceRejected when the evidence does not hold.
    """
    files = {"ledger.json": json.dumps(transcript, indent=1, sort_keys=True).encode()}
    _ = evidence.manifests  # read by their digests, however much lies beside them
    for key in evidence.objects.keys:
        if object_keys.holds(key):
            with suppress(
                EvidenceRejected, ObjectMissing
            ):  # another's junk under the round's names; the audit tells of it
                files[f"{object_keys.REPORTS}/{key}"] = evidence.objects.read_key(key, object_keys.key_digest(key))
    manifests = tuple(dict.fromkeys(evidence.commit_list.values()))
    for hospital, manifest in evidence.commit_list.items():
        proof = {
            "manifest": manifest,
            "proof": list(merkle.proof(manifests, manifest)),
            "verdict": evidence.record.verdicts.get(hospital),
        }
        files[f"{_PROOFS}{hospital}.json"] = canonical.canonical_json(proof)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    return written.getvalue()


@dataclass(frozen=True)
class Held:
    """One file of a bundle, as an audit asks for an object's versions."""

    key: str
    version_id: str = "bundle"
    deleted: bool = False


class Bundle:
    """The files of a bundle, in memory; answers what an audit asks of a store."""

    def __init__(self, data: bytes) -> None:
        """Unpack `data`.

        Raises EvidenceRejected when it is no whole zip file of ours, before it takes more memory than it may.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                entries = archive.infolist()
                _check_entries(entries)
                self._files = {entry.filename: archive.read(entry) for entry in entries}
        except _UNREADABLE as error:
            raise EvidenceRejected(
                f"got {len(data)} bytes that are no whole zip file ({error}); ask for the bundle again"
            ) from error

    def get(self, bucket: str, key: str, sha256: Sha256) -> bytes:
        """A file's bytes, hashed; raises EvidenceRejected or ObjectMissing naming it."""
        data = self._files.get(f"{bucket}/{key}")
        if data is None:
            raise ObjectMissing(f"{bucket}/{key}: got none in the bundle")
        if canonical.sha256(data) != sha256:
            raise EvidenceRejected(f"{bucket}/{key}: got bytes with SHA-256 {canonical.sha256(data)}, want {sha256}")
        return data

    def history(self, bucket: str, prefix: str, most: int | None = None) -> Sequence[Held]:
        """The files beneath `prefix`, all of them: a bundle was bounded when it was read."""
        start = f"{bucket}/{prefix}"
        return tuple(Held(name.removeprefix(f"{bucket}/")) for name in self._files if name.startswith(start))

    def first(self, bucket: str, prefix: str, count: int) -> Sequence[Held]:
        """The first files beneath `prefix`."""
        return self.history(bucket, prefix)[:count]

    def json(self, name: str) -> Mapping[str, Any]:
        """A file's JSON object; raises EvidenceRejected when it is none, ObjectMissing."""
        data = self._files.get(name)
        if data is None:
            raise ObjectMissing(f"{name}: got none in the bundle")
        try:
            return canonical.read_object(data)
        except EvidenceRejected as error:
            raise EvidenceRejected(f"{name}: {error}") from error

    def record(self, round_id: RoundId) -> RoundRecord:
        """The one record in the bundle, whose names say whom to look up; what it claims is not checked here."""
        prefix = f"{object_keys.REPORTS}/{object_keys.record(round_id).prefix}"
        records = [data for name, data in self._files.items() if name.startswith(prefix)]
        if len(records) != 1:
            raise EvidenceRejected(f"round {round_id}: got {len(records)} records in the bundle, want one")
        return RoundRecord.from_bytes(records[0])

    def proofs(self) -> Iterator[tuple[HospitalName, Mapping[str, Any]]]:
        """Every hospital's own proof."""
        for name in sorted(self._files):
            if name.startswith(_PROOFS):
                yield HospitalName(PurePosixPath(name).stem), self.json(name)


def _check_entries(entries: Sequence[zipfile.ZipInfo]) -> None:
    """Raise EvidenceRejected unless the files that an archive announces are as `pack` writes them."""
    for entry in entries:
        if entry.compress_type not in _METHODS:
            raise EvidenceRejected(
                f"{shown(entry.filename)}: got compression method {entry.compress_type}, want deflate or none"
            )
        if entry.file_size > _LARGEST_FILE:
            raise EvidenceRejected(
                f"{shown(entry.filename)}: got a file of {entry.file_size} bytes, want at most {_LARGEST_FILE}"
            )
    total = sum(entry.file_size for entry in entries)
    if total > LARGEST_BUNDLE:
        raise EvidenceRejected(f"got a bundle that unpacks to {total} bytes, want at most {LARGEST_BUNDLE}")
    if len({entry.filename for entry in entries}) != len(entries):
        raise EvidenceRejected("got a bundle in which a file stands twice")


def verify(round_id: RoundId, bundle: Bundle, ledger: RoundReader, model: bytes | None) -> AuditReport:
    """Check a bundle against a ledger read from it; nothing that fails is raised, all of it is in the report."""

    def proofs(evidence: RoundEvidence) -> str:
        held = dict(bundle.proofs())
        if set(held) != set(evidence.commit_list):
            raise EvidenceRejected(
                f"{_PROOFS}: got those of {', '.join(held)}, want one for each of {', '.join(evidence.commit_list)}"
            )
        for hospital, proof in held.items():
            manifest = evidence.commit_list[hospital]
            siblings = [str(sibling) for sibling in proof.get("proof", ())]
            if proof.get("manifest") != manifest or not merkle.verify(evidence.result.commit_root, manifest, siblings):
                raise EvidenceRejected(
                    f"{_PROOFS}{hospital}.json: the manifest does not stand under root {evidence.result.commit_root}"
                )
            if proof.get("verdict") != evidence.record.verdicts.get(hospital):
                raise EvidenceRejected(
                    f"{_PROOFS}{hospital}.json: says {proof.get('verdict')}, want the record's verdict"
                )
        return (
            ", ".join(f"{hospital} {evidence.record.verdicts.get(hospital, 'no member')}" for hospital in held)
            + ": each under the root"
        )

    def same_model(evidence: RoundEvidence) -> str:
        if model is None or canonical.sha256(model) != evidence.result.new_model:
            got = "none" if model is None else canonical.sha256(model)
            raise EvidenceRejected(f"model: got a file with SHA-256 {got}, want {evidence.result.new_model}")
        return f"the file is model {evidence.result.new_model}"

    def whole(evidence: RoundEvidence) -> str:
        # Into a store many may write; a bundle is one author's word, in which nothing else has a place.
        said = objects(evidence)
        if evidence.findings:
            raise EvidenceRejected("; ".join(evidence.findings))
        return said

    steps = [step for step in OF_ONE_ROUND if step.name != "model"]
    steps += [CheckStep("objects", whole), CheckStep("proofs", proofs, ("commit list",))]
    if model is not None:
        steps.append(CheckStep("model", same_model, ("ledger",)))
    evidence = RoundEvidence(round_id, ledger, bundle)
    return AuditReport(round_id, ledger.round(round_id).status, run(evidence, steps))
