"""Data sets: where records come from, how they are encoded, and that their files at a hospital lose nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import DATASETS, Records, publishers
from pipeline.datasets.base import SPLITS
from pipeline.datasets.breast_cancer import BreastCancer
from pipeline.datasets.heart_disease import HeartDisease
from pipeline.datasets.pneumonia import Pneumonia
from pipeline.datasets.publishers import PUBLISHED
from pipeline.errors import Misconfigured
from tests.support.heart import HOSPITALS, publish


def x_rays(count: int, seed: int = 0) -> Records:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, size=(count, 28, 28), dtype=np.uint8)
    return Records(np.array([f"x-{row}" for row in range(count)]), images, rng.integers(0, 2, size=count))


def published(folder: Path, counts: dict[str, int]) -> None:
    arrays = {}
    for split, count in counts.items():
        records = x_rays(count, seed=count)
        arrays[f"{split}_images"] = records.values
        arrays[f"{split}_labels"] = records.labels[:, None]
    (folder / "pneumoniamnist").mkdir(parents=True)
    np.savez(folder / "pneumoniamnist" / "pneumoniamnist.npz", **arrays)


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("data"))


def some(name: str, hearts: Path) -> tuple[Records, Records]:
    """A few records of a data set."""
    return {"pneumonia": lambda: (x_rays(9, 1), x_rays(4, 2)), "breast_cancer": lambda: BreastCancer().load([])}.get(
        name, lambda: HeartDisease().load([hearts])
    )()


def test_the_stated_constants_of_breast_cancer_are_those_of_the_bundled_data() -> None:
    from sklearn.datasets import load_breast_cancer

    bundled = load_breast_cancer()
    columns = BreastCancer().columns
    assert [column.name for column in columns] == list(bundled.feature_names)
    np.testing.assert_allclose([column.mean for column in columns], bundled.data.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose([column.deviation for column in columns], bundled.data.std(axis=0), rtol=1e-5)
    assert all(2 * top <= column.highest for top, column in zip(bundled.data.max(axis=0), columns, strict=True))


def test_breast_cancer_gives_every_fourth_record_to_testing_and_each_to_one_part() -> None:
    train, test = BreastCancer().load([])
    assert (len(train), len(test)) == (426, 143)
    assert len({*train.ids, *test.ids}) == 569
    assert set(np.unique(test.labels)) == {0, 1}


def test_breast_cancer_is_encoded_as_standard_scores_with_eight_fractional_bits_clipped() -> None:
    dataset = BreastCancer()
    mean = np.array([column.mean for column in dataset.columns])
    deviation = np.array([column.deviation for column in dataset.columns])
    inputs = dataset.encode(
        np.stack([mean, mean + deviation, mean - 2 * deviation, mean + 9 * deviation, mean - 9 * deviation])
    )
    assert inputs.dtype == np.int16
    assert [set(row.tolist()) for row in inputs] == [{0}, {256}, {-512}, {1024}, {-1024}]


def test_a_pixel_is_encoded_about_middle_grey() -> None:
    pixels = np.array([0, 127, 128, 255], dtype=np.uint8)
    images = np.broadcast_to(pixels[:, None, None], (4, 28, 28))
    inputs = Pneumonia().encode(images)
    assert inputs.shape == (4, 1, 28, 28)
    assert inputs.dtype == np.int16
    assert inputs[:, 0, 0, 0].tolist() == [-128, -1, 0, 127]


def test_pneumonia_trains_on_the_publishers_training_and_validation_images(tmp_path: Path) -> None:
    published(tmp_path, {"train": 7, "val": 3, "test": 2})
    train, test = Pneumonia().load([tmp_path / "nothing-here", tmp_path])
    assert (len(train), len(test)) == (10, 2)
    np.testing.assert_array_equal(train.values, np.concatenate([x_rays(7, 7).values, x_rays(3, 3).values]))
    np.testing.assert_array_equal(test.labels, x_rays(2, 2).labels)
    assert train.labels.shape == (10,)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_missing_files_are_reported_with_every_place_and_the_ways_to_get_them(name: str, tmp_path: Path) -> None:
    published = PUBLISHED[name]
    with pytest.raises(Misconfigured) as caught:
        DATASETS[name].load([tmp_path / "one", tmp_path / "two"])
    places = f"{tmp_path / 'one' / published.folder}, {tmp_path / 'two' / published.folder}"
    for part in (places, *published.files, "`wardround up` fetches", published.page, "WARDROUND_DATA"):
        assert part in str(caught.value)
    with pytest.raises(Misconfigured, match="in no folder;"):
        DATASETS[name].load([])


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_files_count_as_found_when_all_of_them_are_there(name: str, tmp_path: Path) -> None:
    *others, last = PUBLISHED[name].files
    folder = tmp_path / PUBLISHED[name].folder
    folder.mkdir()
    for file in others:
        (folder / file).touch()
    assert not publishers.is_here(name, [tmp_path])
    (folder / last).touch()
    assert publishers.is_here(name, [tmp_path / "elsewhere", tmp_path])
    assert publishers.find(name, [tmp_path / "elsewhere", tmp_path]) == folder


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_what_is_written_at_a_hospital_is_read_back_exactly(name: str, hearts: Path, tmp_path: Path) -> None:
    dataset = DATASETS[name]
    train, test = some(name, hearts)
    dataset.write(tmp_path, train, test)
    split = dataset.read(tmp_path)
    for samples, records in ((split.train, train), (split.test, test)):
        np.testing.assert_array_equal(samples.inputs, dataset.encode(records.values))
        np.testing.assert_array_equal(samples.labels, records.labels)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_the_table_of_the_contract_has_the_columns_that_the_contract_names(
    name: str, hearts: Path, tmp_path: Path
) -> None:
    dataset = DATASETS[name]
    train, test = some(name, hearts)
    dataset.write(tmp_path, train, test)
    frame = dataset.frame(tmp_path)
    assert set(frame.columns) == {"record_id", "split", *dataset.bounds, "label"}
    assert frame["split"].tolist() == [SPLITS[0]] * len(train) + [SPLITS[1]] * len(test)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_encoded_input_of_a_contracted_record_lies_in_the_public_range(name: str) -> None:
    dataset = DATASETS[name]
    lowest, highest = dataset.input_range
    if name == "pneumonia":
        extremes = np.stack([np.zeros((28, 28), np.uint8), np.full((28, 28), 255, np.uint8)])
    else:
        extremes = np.array(list(dataset.bounds.values())).T
    inputs = dataset.encode(extremes)
    assert lowest <= inputs.min()
    assert inputs.max() <= highest


def test_heart_disease_keeps_each_record_of_the_four_hospitals_once_and_a_fourth_of_each_class_for_testing(
    hearts: Path,
) -> None:
    train, test = HeartDisease().load([hearts.parent / "nothing-here", hearts])
    assert len({*train.ids, *test.ids}) == 920
    for site, (patients, ill, _, _) in zip(HeartDisease.sites, HOSPITALS.values(), strict=True):
        own = [records[np.flatnonzero(np.char.startswith(records.ids, f"{site}-"))] for records in (train, test)]
        assert sum(map(len, own)) == patients
        assert [int(part.labels.sum()) for part in own] == [ill - -(-ill // 4), -(-ill // 4)]


def test_a_cholesterol_of_zero_is_an_empty_cell_and_an_empty_cell_is_the_mean_with_its_flag(hearts: Path) -> None:
    dataset = HeartDisease()
    train, _ = dataset.load([hearts])
    swiss = train[np.flatnonzero(np.char.startswith(train.ids, "switzerland-"))]
    names = [column.name for column in dataset.columns]
    flagged = [column.name for column in dataset.columns if column.empty == "flagged"]
    assert flagged == ["chol", "oldpeak", "slope", "ca", "thal"]
    assert np.isnan(swiss.values[:, names.index("chol")]).all()
    inputs = dataset.encode(swiss.values)
    assert inputs.shape == (len(swiss), 18)
    assert set(inputs[:, names.index("chol")]) == {0}
    assert set(inputs[:, 13]) == {256}
    np.testing.assert_array_equal(
        inputs[:, 13:] == 256, np.isnan(swiss.values[:, [names.index(name) for name in flagged]])
    )


def test_an_empty_cell_in_a_column_that_takes_none_is_not_encoded(hearts: Path) -> None:
    train, _ = HeartDisease().load([hearts])
    train.values[0, 0] = np.nan
    with pytest.raises(ValueError, match="an empty cell in a column that takes none"):
        HeartDisease().encode(train.values)


def test_other_files_than_the_publisher_s_of_heart_disease_are_told_from_them(tmp_path: Path) -> None:
    (publish(tmp_path) / "heart-disease" / "processed.va.data").write_text("63,1,4\n44,1,4\n")
    with pytest.raises(
        Misconfigured, match=r"processed\.va\.data: got \(2, 3\) numbers, want the publisher's file of 14 columns"
    ):
        HeartDisease().load([tmp_path])


def test_samples_and_records_print_no_value() -> None:
    records = x_rays(3)
    assert repr(records) == "Records(3 records)"
    assert repr(Pneumonia().samples(records)) == "Samples(3 records)"
