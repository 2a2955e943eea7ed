"""A study of the hospitals' own pictures in colour, from a folder of JPEG files to a prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.datasets.images import LABELS
from pipeline.datasets.records import records_folder
from pipeline.domain import HospitalName, RoundStatus
from tests.support.answers import share_right
from tests.support.memory.site import MemorySite

CLASSES = ("brown", "red", "black")
_TINTS = ((150, 110, 80), (200, 90, 90), (60, 55, 60))
_EACH = 24
_HOSPITALS = tuple(map(HospitalName, ("aster", "birch", "cedar")))


def photographs(folder: Path, seed: int) -> None:
    """Spots of three colours on skin, as cameras keep them; some lie on their side."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    rows = []
    y, x = np.mgrid[:24, :32]
    for number in range(_EACH * len(CLASSES)):
        label = number % len(CLASSES)
        spot = (y - rng.integers(9, 15)) ** 2 + (x - rng.integers(13, 19)) ** 2 < rng.integers(30, 70)
        skin = np.where(spot[..., None], _TINTS[label], (225, 180, 160)) + rng.normal(0, 12, (24, 32, 3))
        exif = Image.Exif()
        exif[0x0112] = 3 if number % 5 == 0 else 1
        file = f"{number}.jpg"
        Image.fromarray(skin.clip(0, 255).astype(np.uint8)).save(folder / file, quality=90, exif=exif)
        split = "test" if number >= _EACH * len(CLASSES) * 3 // 4 else "train"
        rows.append({"file": file, "label": CLASSES[label], "split": split})
    pd.DataFrame(rows).to_csv(folder / LABELS, index=False)


def test_a_study_in_colour_goes_from_jpeg_files_to_a_prediction_of_three_classes(site: MemorySite) -> None:
    for seed, name in enumerate(_HOSPITALS):
        photographs(records_folder(site.settings.hospital(name), "moles"), seed)
    play = site.play(
        "moles",
        dataset="moles",
        images={"size": [12, 16], "classes": list(CLASSES), "channels": 3, "scale": "levels"},
        hospitals=list(_HOSPITALS),
        model=[
            {"Conv2d": {"out_channels": 6, "kernel_size": 3}},
            {"AvgPool2d": {"kernel_size": 2}},
            {"ReLU": {}},
            {"Flatten": {}},
            {"Linear": {"out_features": 3}},
        ],
        training={"steps": 40, "batch_size": 24, "learning_rate": 0.05},
    )
    assert play.study.network.parameters[0].shape == (6, 3, 3, 3)
    round_id = play.round()
    assert play.absences == {}
    assert site.ledger.status(round_id) is RoundStatus.FINALISED
    assert site.record(round_id)["verdicts"] == dict.fromkeys(_HOSPITALS, "accepted")
    site.audits(round_id)
    assert share_right(site.settings, play.study, _HOSPITALS[0]) >= 0.9
