"""The laboratory's head on a backbone's features, by a small backbone and made-up pictures."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml
from PIL import Image

from benchmarks.poisoning import data, results
from benchmarks.poisoning.attacks import badnets
from benchmarks.poisoning.cells import CELLS
from benchmarks.poisoning.data import HEAD, World
from benchmarks.poisoning.features import STUDY, FeaturedPictures
from benchmarks.poisoning.own_rules import WARDROUND
from benchmarks.poisoning.simulate import Case, Run, Simulation
from pipeline.datasets.backbone import backbone_path
from pipeline.errors import EvidenceRejected, Misconfigured
from pipeline.evidence.canonical import sha256
from pipeline.site.settings import Settings
from pipeline.study.study import Study
from tests.support import backbones, publisher

_TRIGGER = slice(23, 27)
"""Rows and columns of the square, of 28."""


@dataclass(frozen=True)
class Laboratory:
    """What a laboratory of this machine goes by."""

    study: Study
    folder: Path
    """As WARDROUND_DATA names it."""

    @property
    def file(self) -> Path:
        """The backbone's place."""
        return backbone_path(self.folder, sha256(backbones.backbone()))

    def settings(self, cache: Path, folder: Path | None = None) -> Settings:
        """With a cache of one's own."""
        return Settings(cache / "home", (folder or self.folder,), cache, cache / "none", cache / "studies")

    def featured(self, cache: Path, folder: Path | None = None) -> FeaturedPictures:
        """Features of all published pictures."""
        return FeaturedPictures(self.study, data._records("pneumonia"), self.settings(cache, folder))

    def made(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
        """A picture's features, by one call of the backbone."""
        side = (backbones.SIDE,) * 2
        levels = np.asarray(Image.fromarray(picture).resize(side, Image.Resampling.BICUBIC), np.float64)
        encoded = np.rint((levels - 120) / 50 * 256).astype(np.int16)
        schema = self.study.backbone
        assert schema is not None
        assert self.study.images is not None
        backbone = schema.dataset(self.study.images.dataset("stripes")).backbone
        return backbone.encode(self.file, encoded[None])


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = publisher.publish(tmp_path_factory.mktemp("data") / "published")
    study = tmp_path_factory.mktemp("study") / "head.yaml"
    members = {"hospitals": ["aster", "birch", "cedar"], "nodes": ["north", "east", "west"]}
    engine = {"title": "A head", "engine": "spu", "protocol": "aby3"}
    study.write_text(yaml.safe_dump(engine | members | backbones.study_lines(backbones.backbone())))
    made = Laboratory(Study.load(study), folder)
    made.file.parent.mkdir()
    made.file.write_bytes(backbones.backbone())
    remembered = (data.world, data._records, data._study, data._featured)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARDROUND_DATA", str(folder))
        patch.setenv("WARDROUND_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(data, "STUDY", study)
        for cached in remembered:
            cached.cache_clear()
        yield made
        for cached in remembered:
            cached.cache_clear()


@pytest.fixture(scope="module")
def head(laboratory: Laboratory) -> World:
    return data.world(HEAD, 5, 0.5, 20, 0)


def published() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    train, _ = data._records("pneumonia")
    return train.values, train.labels


def play(attack: str, defence: str) -> Run:
    return Simulation(Case(HEAD, 5, 1, 0.5, 20, attack, defence, 0, 3)).run()


def test_hospitals_hold_features_of_the_pictures_that_the_small_networks_hospitals_hold(
    laboratory: Laboratory, head: World
) -> None:
    pixels = data.world("pneumonia", 5, 0.5, 20, 0)
    assert head.network.size == 2 * backbones.FEATURES + 2
    assert head.input_range == (-1024, 1024)
    for ours, theirs in zip(head.hospitals, pixels.hospitals, strict=True):
        held = np.concatenate([ours.training.inputs, ours.pool.inputs])
        pictures = np.concatenate([theirs.training.inputs, theirs.pool.inputs])[:, 0] + 128
        expected = {laboratory.made(picture.astype(np.uint8)).tobytes() for picture in pictures}
        assert {one.tobytes() for one in held} == expected
        assert np.array_equal(*(np.bincount(one.training.labels) for one in (ours, theirs)))


@pytest.mark.parametrize("part", [None, 3])
def test_a_stamped_record_has_the_features_of_its_picture_with_the_trigger(
    laboratory: Laboratory, head: World, part: int | None
) -> None:
    pictures = published()[0][:4].copy()
    plain = torch.from_numpy(np.stack([laboratory.made(one) for one in pictures]).astype(np.float32) / 256)
    corner = _TRIGGER if part is None else slice(25, 27)
    pictures[:, corner, corner] = 255
    expected = np.stack([laboratory.made(one) for one in pictures]).astype(np.float32) / 256
    marked = head.stamp(plain, part)
    assert np.array_equal(marked.numpy(), expected)
    assert (marked != plain).any(dim=1).all()


def test_features_are_made_once(laboratory: Laboratory, tmp_path: Path) -> None:
    first = laboratory.featured(tmp_path)
    train, _ = data._records("pneumonia")
    again = laboratory.featured(tmp_path, tmp_path / "no backbone")
    assert np.array_equal(first.samples(train).inputs, again.samples(train).inputs)


def test_a_backbone_that_is_not_there_is_refused_with_its_place(laboratory: Laboratory, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=rf"got no {laboratory.file.name} in .*backbones.*docs/.*WARDROUND_DATA"):
        laboratory.featured(tmp_path, tmp_path / "no backbone")


def test_another_backbone_in_its_place_is_refused_with_both_digests(laboratory: Laboratory, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    theirs = backbone_path(folder, sha256(backbones.backbone()))
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(backbones.written(backbones.graph(side=28)))
    with pytest.raises(EvidenceRejected, match=f"got a file with SHA-256 .*, want {theirs.stem}"):
        laboratory.featured(tmp_path, folder)
    shutil.copy(laboratory.file, theirs)
    laboratory.featured(tmp_path, folder)


def test_a_backdoors_poison_is_the_features_of_stamped_pictures(head: World) -> None:
    training = head.hospitals[0].training
    inputs = torch.from_numpy(training.inputs.astype(np.float32) / 256)
    labels = torch.from_numpy(training.labels)
    poisoned, relabelled = badnets.poison(inputs, labels, 0, np.random.default_rng(0), head.stamp)
    chosen = relabelled != labels
    assert chosen.any()
    assert labels[chosen].all()
    assert torch.equal(poisoned, torch.where(chosen[:, None], head.stamp(inputs), inputs))


@pytest.mark.usefixtures("head")
def test_a_head_learns_and_an_attack_on_it_is_rejected() -> None:
    assert play("none", "fedavg").accuracy > 0.9
    assert play("ipm_100", WARDROUND).rejected == 1
    assert play("rule_aware_backdoor", WARDROUND).accuracy > 0.9


def test_features_of_no_published_picture_have_no_stamp(head: World) -> None:
    with pytest.raises(KeyError):
        head.stamp(torch.full((1, backbones.FEATURES), 0.5))


def test_the_study_of_the_laboratory_is_one_linear_layer_on_features() -> None:
    study = Study.load(STUDY)
    assert study.dataset == HEAD
    assert study.network.size == 2562


def test_what_was_measured_is_still_what_the_cells_ask_for() -> None:
    asked = {results.key(vars(case)) for cell in CELLS.values() for case in cell.cases()}
    assert results.read().keys() <= asked


def test_other_data_sets_are_dealt_as_they_were_before_there_was_a_head() -> None:
    world = data.world("breast_cancer", 5, 1.0, 16, 10)
    dealt = hashlib.sha256()
    for hospital in world.hospitals:
        for part in (hospital.training, hospital.pool):
            dealt.update(part.inputs.astype("<i2").tobytes() + part.labels.astype("<i8").tobytes())
    assert dealt.hexdigest() == "bb08c03b435dd93c33d26862c7fad4ea3fbdeda2a2e9e8e11028c08e8bccde4b"
