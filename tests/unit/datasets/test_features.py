"""Features are made once of each picture, kept beside it, and compared to a step where a round is replayed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from onnx import helper
from PIL import Image

from pipeline.datasets import features
from pipeline.datasets.backbone import Backbone, backbone_path
from pipeline.datasets.features import Features
from pipeline.datasets.images import LABELS
from pipeline.datasets.own_images import OwnImages
from pipeline.datasets.records import records_folder
from pipeline.datasets.schema import BackboneSchema, ImagesSchema
from pipeline.errors import DataRejected, Refused
from pipeline.evidence.canonical import sha256
from pipeline.host.files import write_atomic
from pipeline.ingest.features import compare_features, keep_features
from tests.support.backbones import FEATURES, SIDE, backbone, graph, lines, written

PICTURES = 6


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A hospital with a few pictures and the backbone."""
    home = tmp_path / "aster"
    folder = records_folder(home, "shadows")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    for number in range(PICTURES):
        _picture(folder, number, rng)
    _labels(folder, range(PICTURES))
    write_atomic(backbone_path(home, sha256(backbone())), backbone())
    return home


@pytest.fixture
def dataset() -> Features:
    images = ImagesSchema.model_validate(
        {"size": [SIDE, SIDE], "classes": ["clear", "shadow"], "mean": [128], "deviation": [64]}
    )
    return BackboneSchema.model_validate(lines(backbone())).dataset(images.dataset("shadows"))


def _picture(folder: Path, number: int, rng: np.random.Generator, name: str = "") -> None:
    pixels = rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / (name or f"{number}.png"))


def _labels(folder: Path, numbers: range) -> None:
    rows = [{"file": f"{n}.png", "label": ["clear", "shadow"][n % 2], "split": "train"} for n in numbers]
    pd.DataFrame(rows).to_csv(folder / LABELS, index=False)


def _kept(home: Path) -> Path:
    (file,) = records_folder(home, "shadows").glob("features-????????????????.npz")
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


class Ended(Exception):
    """As a step is that runs into its deadline."""


def test_what_a_step_made_before_its_deadline_is_kept(
    home: Path, dataset: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    encode = Backbone.encode

    def slow(network: Backbone, file: Path, picture: np.ndarray) -> np.ndarray:
        made.append(1)
        if len(made) == 6:
            raise Ended
        return encode(network, file, picture)

    monkeypatch.setattr(features, "_PORTION", 2)
    monkeypatch.setattr(Backbone, "encode", slow)
    with pytest.raises(Ended):
        dataset.keeping(home).keep(records_folder(home, "shadows"))
    kept = keep_features(home, dataset)
    assert kept is not None
    assert (kept.pictures, kept.made) == (PICTURES, PICTURES - 4)
    assert len(made) == 6 + PICTURES - 4


def test_pictures_are_encoded_one_by_one(home: Path, dataset: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once: list[int] = []
    encode = OwnImages.encode

    def counted(pictures: OwnImages, values: np.ndarray) -> np.ndarray:
        at_once.append(len(values))
        return encode(pictures, values)

    monkeypatch.setattr(OwnImages, "encode", counted)
    keep_features(home, dataset)
    assert at_once == [1] * PICTURES
    _read(home, dataset)
    assert at_once == [1] * PICTURES


def test_where_features_are_lacking_nothing_is_compared_with_itself(home: Path, dataset: Features) -> None:
    with pytest.raises(DataRejected, match=f"features are kept of all pictures: {PICTURES} lack; `dvc checkout` the"):
        compare_features(home, dataset)
    keep_features(home, dataset)
    _picture(records_folder(home, "shadows"), PICTURES, np.random.default_rng(4))
    _labels(records_folder(home, "shadows"), range(PICTURES + 1))
    with pytest.raises(DataRejected, match="features are kept of all pictures: 1 lack"):
        compare_features(home, dataset)


def test_a_picture_of_which_no_features_come_is_named_by_its_row(home: Path) -> None:
    data = written(graph(between=[helper.make_node("Log", ["means"], ["last"])]))
    write_atomic(backbone_path(home, sha256(data)), data)
    narrow = ImagesSchema.model_validate(
        {"size": [SIDE, SIDE], "classes": ["clear", "shadow"], "mean": [100], "deviation": [1]}
    )
    network = BackboneSchema.model_validate(lines(data)).dataset(narrow.dataset("shadows"))
    with pytest.raises(DataRejected, match="makes features that are NaN or infinity of the picture of row") as refusal:
        keep_features(home, network)
    assert "leave them out" in str(refusal.value)


def test_pictures_may_begin_with_the_word_of_the_file_of_features(home: Path, dataset: Features) -> None:
    keep_features(home, dataset)
    folder = records_folder(home, "shadows")
    _picture(folder, 0, np.random.default_rng(5), "features-0001.png")
    assert dataset.pictures.unlisted(folder) == 1
    assert len(dataset.pictures.questions(folder)) == PICTURES + 1


def test_what_a_killed_step_was_writing_is_no_picture_and_goes(home: Path, dataset: Features) -> None:
    keep_features(home, dataset)
    folder = records_folder(home, "shadows")
    left = folder / f".{_kept(home).name}.x7a_b2"
    left.write_bytes(b"half")
    assert dataset.pictures.unlisted(folder) == 0
    assert len(dataset.questions(folder)) == PICTURES
    keep_features(home, dataset)
    assert not left.exists()


def test_other_constants_of_the_pictures_are_other_features(home: Path, dataset: Features) -> None:
    keep_features(home, dataset)
    file = _kept(home)
    other = ImagesSchema.model_validate(
        {"size": [SIDE, SIDE], "classes": ["clear", "shadow"], "mean": [100], "deviation": [64]}
    )
    second = keep_features(home, BackboneSchema.model_validate(lines(backbone())).dataset(other.dataset("shadows")))
    assert second is not None
    assert (second.made, second.file == file) == (PICTURES, False)


def test_a_study_without_a_backbone_keeps_none(home: Path, dataset: Features) -> None:
    keep_features(home, dataset.pictures)
    compare_features(home, dataset.pictures)
    assert not list(records_folder(home, "shadows").glob("features-*"))
