"""Whose pictures DICOM files are: the only reading of a patient's elements, kept apart from that of the pixels.

It stands in for the column `patient` of a hospital's labels, and goes where that goes: no further than the split and a
hash under the hospital's own secret.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.datasets import dicom_files
from pipeline.datasets.patients import PATIENT, unknown

if TYPE_CHECKING:
    import pandas as pd

# A number is one patient's only at the archive that gave it.
_ISSUER_AND_NUMBER = ("IssuerOfPatientID", "PatientID")
_NOTHING = ("", "")


def column(files: Sequence[Path | None]) -> list[str] | None:
    """Whose each file is; None unless every file is DICOM with a PatientID, and they are not all the same.

    Numbers of two issuers are two patients, where every file names its issuer.
    """
    headers = _headers(files)
    if _why_unknown(headers) is not None:
        return None
    return _patients(headers)


def notes(labels: pd.DataFrame, files: Sequence[Path | None]) -> list[str]:
    """Whether the headers say whose the pictures of these labels are; nothing where a column does."""
    if PATIENT in labels:
        return []
    why = _why_unknown(_headers(files))
    if why is None:
        where = str(labels.index.name).removeprefix("row of ")
        return [f"{where} has no column {PATIENT}: the PatientID of the DICOM files says whose they are."]
    return unknown(labels, why)


def _why_unknown(headers: Sequence[tuple[str, str]]) -> str | None:
    """None where they are known."""
    silent = sum(not number for _, number in headers)
    if silent == len(headers):
        return " and not every picture is a DICOM file that names its own patient"
    if silent:
        return f", and {silent} of {len(headers)} files have no PatientID as DICOM files have"
    if len(headers) > 1 and len(set(_patients(headers))) == 1:
        return ", and all DICOM files have the same PatientID, as software leaves it that takes names away"
    return None


def _patients(headers: Sequence[tuple[str, str]]) -> list[str]:
    """One text a patient. Where a file names no issuer, equal numbers count as one patient's, to be safe."""
    issued = all(issuer for issuer, _ in headers)
    return [json.dumps([issuer if issued else "", number]) for issuer, number in headers]


def _headers(files: Sequence[Path | None]) -> list[tuple[str, str]]:
    return [_header(file) if file else _NOTHING for file in files]


def _header(file: Path) -> tuple[str, str]:
    """Issuer and number; empty where the file does not say, or is another or a damaged one."""
    import pydicom

    with file.open("rb") as opened:
        if not dicom_files.is_dicom(opened.read(dicom_files.HEAD)):
            return _NOTHING
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # it warns of a wrong element by quoting it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_ISSUER_AND_NUMBER), force=True)
            issuer, number = (str(header.get(name) or "").strip() for name in _ISSUER_AND_NUMBER)
    except Exception:  # pydicom raises what it likes on a damaged file, and quotes elements
        return _NOTHING
    return issuer, number
