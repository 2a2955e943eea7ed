"""Validations that passed, kept beside their data docs: no later round of the study checks the same records again."""

from __future__ import annotations

from pathlib import Path

from pipeline.domain import Sha256
from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import canonical_json, read_object
from pipeline.host.files import write_secret
from pipeline.ingest import validate
from pipeline.ingest.validate import Validation
from pipeline.ingest.versioning import version
from pipeline.study.study import Study


def run_once(home: Path, study: Study, approved: Sha256) -> Validation:
    """What `validate.run` says, or said of this version of the records under this digest of study and code.

    Both together decide the outcome. What failed is checked again. Raises DataRejected when records are unreadable.
    """
    dataset_version = version(home, study.dataset)
    file = validate.data_docs(home, study, dataset_version).with_suffix(".passed")
    about = {"study": approved, "dataset_version": dataset_version}
    if (kept := _read(file, about)) is not None:
        return kept
    validation = validate.run(home, study, dataset_version)
    if validation.passed:
        kept_body = about | {"rows": validation.rows, "expectations": dict(validation.expectations)}
        write_secret(file, canonical_json(kept_body))
    return validation


def _read(file: Path, about: dict[str, str]) -> Validation | None:
    try:
        body = read_object(file.read_bytes())
        validation = Validation(body["dataset_version"], body["rows"], body["expectations"])
    except (FileNotFoundError, EvidenceRejected, KeyError):
        return None
    return validation if body.items() >= about.items() and validation.passed else None
