"""A round on a public backbone's features of pictures, from files to a prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.datasets.backbone import backbone_path
from pipeline.datasets.images import LABELS
from pipeline.datasets.records import records_folder
from pipeline.domain import HospitalName, RoundStatus
from pipeline.evidence.canonical import sha256
from tests.support.answers import share_right
from tests.support.backbones import FEATURES, SIDE, backbone, lay_beside, study_lines
from tests.support.memory.site import MemorySite
from tests.support.rounds import Play

CLASSES = ("clear", "striped")
_EACH = 40
_HOSPITALS = tuple(map(HospitalName, ("aster", "birch", "cedar", "dahlia")))


def pictures(folder: Path, seed: int) -> None:
    """Noise, and in half of them stripes."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    rows = []
    for number in range(_EACH * len(CLASSES)):
        label = number % len(CLASSES)
        pixels = rng.normal(120, 12, (SIDE + 4, SIDE + 8))
        if label:
            pixels[:: int(rng.integers(3, 5))] += 90
        file = f"{number}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / file)
        split = "test" if number >= _EACH * len(CLASSES) * 3 // 4 else "train"
        rows.append({"file": file, "label": CLASSES[label], "split": split})
    pd.DataFrame(rows).to_csv(folder / LABELS, index=False)


@pytest.fixture(scope="module")
def play(site: MemorySite) -> Play:
    for seed, name in enumerate(_HOSPITALS):
        pictures(records_folder(site.settings.hospital(name), "stripes"), seed)
    lay_beside(site.settings.studies, backbone())
    return site.play(
        "stripes",
        **study_lines(backbone()),
        hospitals=list(_HOSPITALS),
        training={"steps": 60, "batch_size": 24, "learning_rate": 0.1},
    )


def test_a_round_trains_a_head_on_what_a_public_backbone_makes_of_pictures(site: MemorySite, play: Play) -> None:
    assert play.study.network.size == 2 * FEATURES + 2
    round_id = play.round()
    assert play.absences == {}
    assert site.ledger.status(round_id) is RoundStatus.FINALISED
    assert site.record(round_id)["verdicts"] == dict.fromkeys(_HOSPITALS, "accepted")
    site.audits(round_id)
    assert share_right(site.settings, play.study, _HOSPITALS[0]) >= 0.9


def test_every_member_has_the_backbone_that_its_owner_approved(site: MemorySite, play: Play) -> None:
    settings = site.settings
    homes = [*map(settings.hospital, play.study.hospitals), *map(settings.node, play.study.nodes)]
    assert all(backbone_path(home, sha256(backbone())).read_bytes() == backbone() for home in homes)
