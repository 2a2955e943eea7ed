"""A round on DICOM files of several pictures a patient, whose headers alone say whose they are."""

from __future__ import annotations

import traceback
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.datasets import records
from pipeline.datasets.decoded import DECODED
from pipeline.datasets.images import LABELS
from pipeline.datasets.records import records_folder
from pipeline.domain import HospitalName
from pipeline.errors import DataRejected
from pipeline.ingest.explain import inspect
from tests.support.canaries import files_with, stored
from tests.support.memory.site import MemorySite
from tests.support.pictures import dicom

CLASSES = ("clear", "shadow")
_PATIENTS = 40
_HOSPITALS = tuple(map(HospitalName, ("aster", "birch", "cedar", "dahlia")))
_DAHLIA = _HOSPITALS[-1]
NUMBER = "canary-number"
ISSUER = "canary-issuer"


def scans(folder: Path, seed: int) -> None:
    """Two pictures of each patient; in half of them there is a bright spot."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    rows = []
    for number in range(2 * _PATIENTS):
        label = number // 2 % len(CLASSES)
        pixels = rng.normal(1000, 150, (12, 12))
        pixels[3:9, 3:9] += 2000 * label
        file = f"IM{number}"
        whose = {"PatientID": f"{NUMBER}-{seed}-{number // 2}", "IssuerOfPatientID": f"{ISSUER}-{seed}"}
        window = {"WindowCenter": 2048, "WindowWidth": 4096}
        dicom(folder / file, pixels.clip(0, 4095).astype(np.uint16), **whose, **window)
        rows.append({"file": file, "label": CLASSES[label]})
    pd.DataFrame(rows).to_csv(folder / LABELS, index=False)


def test_patients_of_dicom_files_stay_together_and_are_found_nowhere_but_in_them(
    site: MemorySite, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for seed, name in enumerate(_HOSPITALS):
        scans(records_folder(site.settings.hospital(name), "scans"), seed)
    # Of whom one hospital trains on a patient whom it tests on, which nobody could see without the headers.
    labels = records_folder(site.settings.hospital(_DAHLIA), "scans") / LABELS
    frame = pd.read_csv(labels)
    frame.assign(split=["test" if row % 3 == 0 else "train" for row in range(len(frame))]).to_csv(labels, index=False)
    play = site.play(
        "scans",
        dataset="scans",
        images={"size": [6, 6], "classes": list(CLASSES), "scale": "levels"},
        hospitals=list(_HOSPITALS),
        model=[{"Flatten": {}}, {"Linear": {"out_features": 2}}],
    )
    round_id = play.committed("run-1")
    play.verify(round_id)
    play.aggregate(round_id)
    play.provider("finalise", round_id)
    for name in _HOSPITALS[:3]:
        play.hospital("confirm", round_id, name)
    play.nodes("retire", round_id)
    verdicts = dict.fromkeys(_HOSPITALS, "accepted") | {_DAHLIA: "absent"}
    assert site.record(round_id)["verdicts"] == verdicts
    assert isinstance(play.absences[_DAHLIA], DataRejected)
    site.audits(round_id)
    homes = [site.settings.hospital(name) for name in _HOSPITALS]
    notes = [inspect(records_folder(home, "scans"), play.study).notes for home in homes[:3]]
    for home in homes[:3]:
        split = records.read(home, play.study.source)
        assert len({*split.train.patients, *split.test.patients}) == _PATIENTS  # type: ignore[misc]
        assert (home / DECODED / "scans.npz").is_file()  # which is searched below as all files are
        assert not {*split.train.patients} & {*split.test.patients}  # type: ignore[misc]
    said = ["".join(traceback.format_exception(error)) for error in play.absences.values()]
    said += [*capfd.readouterr(), caplog.text, str(notes)]
    everywhere = [text.encode() for text in said] + stored(site)
    for needle in (NUMBER, ISSUER):
        assert not any(needle.encode() in data for data in everywhere), needle
        files = files_with(site, needle)
        assert len(files) >= 2 * _PATIENTS * len(_HOSPITALS)
        assert all(any(path.is_relative_to(home / "data") for home in homes) for path in files), needle
        assert not [path for path in files if path.suffix], needle  # DICOM files alone, here and among the versions
