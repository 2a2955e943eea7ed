"""Features are made once of each picture, kept beside it, and compared to a step where a round is replayed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.datasets.backbone import backbone_path
from pipeline.datasets.features import Features
from pipeline.datasets.images import LABELS
from pipeline.datasets.records import records_folder
from pipeline.datasets.schema import BackboneSchema, ImagesSchema
from pipeline.errors import DataRejected, Refused
from pipeline.evidence.canonical import sha256
from pipeline.host.files import write_atomic
from pipeline.ingest.features import compare_features, keep_features
from tests.support.backbones import FEATURES, SIDE, backbone, lines

PICTURES = 6


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A hospital with a few pictures and the backbone."""
    home = tmp_path / "aster"
    folder = records_folder(home, "shadows")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    for number in range(PICTURES):
        pixels = rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    _labels(folder, range(PICTURES))
    write_atomic(backbone_path(home, sha256(backbone())), backbone())
    return home


@pytest.fixture
def dataset() -> Features:
    images = ImagesSchema.model_validate(
        {"size": [SIDE, SIDE], "classes": ["clear", "shadow"], "mean": [128], "deviation": [64]}
    )
    return BackboneSchema.model_validate(lines(backbone())).dataset(images.dataset("shadows"))


def _labels(folder: Path, numbers: range) -> None:
    rows = [{"file": f"{n}.png", "label": ["clear", "shadow"][n % 2], "split": "train"} for n in numbers]
    pd.DataFrame(rows).to_csv(folder / LABELS, index=False)


def _kept(home: Path) -> Path:
    (file,) = records_folder(home, "shadows").glob("features-*.npz")
    return file


def _read(home: Path, dataset: Features) -> np.ndarray:
    return dataset.keeping(home).read(records_folder(home, "shadows")).train.inputs


def _altered(home: Path, by: int) -> None:
    with np.load(_kept(home)) as file:
        arrays = dict(file)
    arrays["features"] = np.clip(arrays["features"] + by, -1024, 1024).astype(np.int16)
    np.savez(_kept(home), **arrays)


def test_features_are_the_networks_inputs_within_its_range(home: Path, dataset: Features) -> None:
    inputs = _read(home, dataset)
    assert inputs.shape == (PICTURES, FEATURES) == (PICTURES, *dataset.shape)
    assert inputs.dtype == np.int16
    assert inputs.min() >= dataset.input_range[0]
    assert inputs.max() <= dataset.input_range[1]


def test_what_is_kept_is_what_is_read_though_the_backbone_is_gone(home: Path, dataset: Features) -> None:
    made = _read(home, dataset)
    keep_features(home, dataset)
    backbone_path(home, dataset.backbone.sha256).unlink()
    np.testing.assert_array_equal(_read(home, dataset), made)


def test_a_step_of_difference_between_machines_stays_what_the_round_went_by(home: Path, dataset: Features) -> None:
    keep_features(home, dataset)
    _altered(home, 1)
    before = _read(home, dataset)
    compare_features(home, dataset)  # an honest hospital on another processor
    keep_features(home, dataset)
    np.testing.assert_array_equal(_read(home, dataset), before)


def test_features_that_are_none_of_the_backbone_are_found_where_the_round_is_replayed(
    home: Path, dataset: Features
) -> None:
    keep_features(home, dataset)
    _altered(home, 2)
    with pytest.raises(DataRejected, match=f"those of {PICTURES} pictures are not"):
        compare_features(home, dataset)


def test_features_of_pictures_that_are_listed_no_longer_go(home: Path, dataset: Features) -> None:
    keep_features(home, dataset)
    _labels(records_folder(home, "shadows"), range(2))
    keep_features(home, dataset)
    with np.load(_kept(home)) as file:
        assert len(file["features"]) == 2


def test_studies_of_other_constants_keep_their_own_features_of_the_same_pictures(home: Path, dataset: Features) -> None:
    keep_features(home, dataset)
    file = _kept(home)
    before = file.read_bytes()
    other = BackboneSchema.model_validate(lines(backbone(), mean=0.1)).dataset(dataset.pictures)
    keep_features(home, other)
    assert (_read(home, other) != _read(home, dataset)).any()
    assert file.read_bytes() == before


def test_kept_features_that_are_damaged_are_not_made_anew_unasked(home: Path, dataset: Features) -> None:
    keep_features(home, dataset)
    _kept(home).write_bytes(_kept(home).read_bytes()[:100])
    with pytest.raises(Refused, match="a round may have gone by it"):
        keep_features(home, dataset)


def test_the_file_of_features_is_no_picture_and_waits_for_no_label(home: Path, dataset: Features) -> None:
    keep_features(home, dataset)
    folder = records_folder(home, "shadows")
    assert dataset.pictures.unlisted(folder) == 0
    assert len(dataset.questions(folder)) == PICTURES
    assert oct(_kept(home).stat().st_mode & 0o777) == "0o600"


def test_a_study_without_a_backbone_keeps_none(home: Path, dataset: Features) -> None:
    keep_features(home, dataset.pictures)
    compare_features(home, dataset.pictures)
    assert not list(records_folder(home, "shadows").glob("features-*"))
