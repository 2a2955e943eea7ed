"""Records of one patient stay together: in the split, in the validation pool, in a draw and in a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.datasets import DATASETS, Dataset, Samples
from pipeline.datasets.base import SPLITS, with_split
from pipeline.datasets.own_images import LABELS
from pipeline.datasets.pool import POOL_SHARE, draw, split
from pipeline.datasets.records import read, records_folder
from pipeline.datasets.schema import ImagesSchema, TableSchema
from pipeline.domain import HospitalName, RoundId, Sha256
from pipeline.errors import DataRejected, FileRejected, Misconfigured
from pipeline.host.files import write_secret
from pipeline.host.secret import Secret
from pipeline.train.loop import _drawn, _weights
from tests.support.pictures import CANARY, dicom, png

ASTER = HospitalName("aster")
MINE = Secret(b"m" * 32)
STUDY = Sha256("5" * 64)
CLASSES = ("recovered", "septic")
TABLE = TableSchema.model_validate({"columns": {"age": [0, 120]}, "classes": CLASSES, "scale": "range"}).dataset(
    "sepsis"
)
IMAGES = ImagesSchema(size=(8, 8), classes=CLASSES, scale="levels").dataset("lungs")


def stays(seed: int, patients: int = 60) -> pd.DataFrame:
    """One to eight records a patient, some of them with both labels; an age tells whose a record is."""
    rng = np.random.default_rng(seed)
    whose = np.repeat(np.arange(patients), rng.integers(1, 9, patients))
    count = len(whose)
    return pd.DataFrame(
        {
            "record_id": [f"r{row}" for row in range(count)],
            "patient": [f"{CANARY}-{one}" for one in whose],
            "age": whose,
            "label": np.where(rng.random(count) < 0.9, np.array(CLASSES)[whose % 2], CLASSES[0]),
        }
    ).sample(frac=1, random_state=seed)


def table(folder: Path, frame: pd.DataFrame) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "records.csv", index=False)
    return TABLE


def pictures(folder: Path, frame: pd.DataFrame) -> Dataset:
    """The same records as pictures, each another one, whose first grey says whose they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for record, age in zip(frame["record_id"], frame["age"], strict=True):
        pixels = np.full((8, 8), int(age) * 2 + 1, np.uint8)
        pixels[-1] = np.unpackbits(np.uint8(int(record[1:]) % 256)) * 2
        pixels[-2] = np.unpackbits(np.uint8(int(record[1:]) // 256)) * 2
        png(folder / f"{record}.png", pixels)
    frame.assign(file=frame["record_id"] + ".png").drop(columns=["record_id", "age"]).to_csv(
        folder / LABELS, index=False
    )
    return IMAGES


def scans(folder: Path, frame: pd.DataFrame) -> Dataset:
    """The same pictures as DICOM files whose headers alone say whose they are."""
    pictures(folder, frame)
    window = {"WindowCenter": 127.5, "WindowWidth": 255, "VOILUTFunction": "LINEAR_EXACT"}
    for file, patient in zip(
        frame["record_id"].map(lambda record: folder / f"{record}.png"), frame["patient"], strict=True
    ):
        with Image.open(file) as image:
            dicom(file, np.asarray(image), PatientID=patient, **window)
    labels = pd.read_csv(folder / LABELS)
    labels.drop(columns="patient").to_csv(folder / LABELS, index=False)
    return IMAGES


def whose(samples: Samples) -> np.ndarray:
    """What tells a patient's records from others' among their inputs."""
    return samples.inputs.reshape(len(samples), -1)[:, 0]


@pytest.mark.parametrize("lay_out", [table, pictures, scans])
def test_no_patient_is_on_both_sides_of_a_division_and_what_is_kept_is_a_keyed_hash(
    lay_out: object, tmp_path: Path
) -> None:
    home = tmp_path / "aster"
    dataset = {table: table, pictures: pictures, scans: scans}[lay_out](  # type: ignore[index]
        records_folder(home, "sepsis" if lay_out is table else "lungs"), stays(1)
    )
    with pytest.raises(Misconfigured, match="sharing-secret: got no file"):
        read(home, dataset)
    write_secret(home / "sharing-secret", MINE.reveal())
    parts = read(home, dataset)
    trained, pool = split(parts.train, MINE)
    sides = [set(whose(part)) for part in (parts.train[trained], parts.train[pool], parts.test)]
    assert all(sides)
    assert sum(map(len, sides)) == len(set.union(*sides))
    for part in (parts.train[trained], parts.train[pool], parts.test):
        assert set(part.labels) == {0, 1}
    assert parts.train.patients is not None
    assert len(set(parts.train.patients)) == len(set(whose(parts.train)))
    assert CANARY.encode() not in parts.train.patients.tobytes()
    write_secret(home / "sharing-secret", b"o" * 32)
    others = read(home, dataset).train.patients
    assert others is not None
    assert not set(parts.train.patients) & set(others)
    frame = dataset.frame(records_folder(home, dataset.name))
    assert "patient" not in frame
    assert CANARY not in frame.to_csv()


def headed(folder: Path, whose: Sequence[tuple[str, str]]) -> Path:
    """A DICOM file for each number and issuer of a patient, and labels without patients."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for row, (number, issuer) in enumerate(whose):
        pixels = np.random.default_rng(row).integers(0, 4096, (8, 8)).astype(np.uint16)
        names.append(dicom(folder / f"IM{row}", pixels, PatientID=number, IssuerOfPatientID=issuer).name)
    labels = [CLASSES[row % 2] for row in range(len(names))]
    pd.DataFrame({"file": names, "label": labels}).to_csv(folder / LABELS, index=False)
    return folder


def test_dicom_files_say_whose_they_are_where_the_labels_do_not(tmp_path: Path) -> None:
    home = tmp_path / "aster"
    numbers = [f"{CANARY}-{row // 4}" for row in range(80)]
    folder = headed(records_folder(home, "lungs"), [(number, "north") for number in numbers])
    with pytest.raises(Misconfigured, match="sharing-secret: got no file"):
        read(home, IMAGES)
    write_secret(home / "sharing-secret", MINE.reveal())
    parts = read(home, IMAGES)
    assert parts.train.patients is not None
    assert parts.test.patients is not None
    _, counts = np.unique(np.concatenate([parts.train.patients, parts.test.patients]), return_counts=True)
    assert counts.tolist() == [4] * 20
    assert not set(parts.train.patients) & set(parts.test.patients)
    assert CANARY.encode() not in parts.train.patients.tobytes()
    assert CANARY not in IMAGES.frame(folder).to_csv()
    assert IMAGES.notes(folder) == [
        "labels.csv has no column patient: the PatientID of the DICOM files says whose they are."
    ]
    train, test = IMAGES.load([home / "data" / "records"])
    IMAGES.write(tmp_path / "birch", train, test)
    dealt = pd.read_csv(tmp_path / "birch" / LABELS)
    assert sorted(dealt["patient"].value_counts()) == [4] * 20
    assert CANARY not in dealt.to_csv()


@pytest.mark.parametrize(
    ("issuers", "patients"), [(("north", "east"), 8), (("north", ""), 4), (("", ""), 4)], ids=["two", "one", "none"]
)
def test_one_number_of_two_issuers_is_two_patients_where_all_files_name_their_issuer(
    issuers: tuple[str, str], patients: int, tmp_path: Path
) -> None:
    folder = headed(tmp_path / "lungs", [(f"{row // 2}", issuers[row % 2]) for row in range(8)])
    parts = IMAGES.read(folder, lambda: MINE)
    assert len({*parts.train.patients, *parts.test.patients}) == patients  # type: ignore[misc]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda folder: dicom(folder / "IM1", np.eye(8, dtype=np.uint16), PatientID=""),
            "labels.csv has no column patient, and 1 of 8 files have no PatientID as DICOM files have: nobody can know",
        ),
        (
            lambda folder: png(folder / "IM1", np.eye(8, dtype=np.uint8)),
            "labels.csv has no column patient, and 1 of 8 files have no PatientID as DICOM files have: nobody can know",
        ),
        (
            lambda folder: [
                dicom(folder / f"IM{row}", np.eye(8, dtype=np.uint16), IssuerOfPatientID="north" * (row % 2))
                for row in range(8)
            ],
            "labels.csv has no column patient, and all DICOM files have the same PatientID, as software leaves it that"
            " takes names away: nobody can know",
        ),
        (
            lambda folder: [png(folder / f"IM{row}", np.eye(8, dtype=np.uint8)) for row in range(8)],
            "labels.csv has no column patient and not every picture is a DICOM file that names its own patient: nobody",
        ),
    ],
    ids=["empty", "mixed", "all the same", "no DICOM"],
)
def test_files_that_do_not_all_say_whose_they_are_say_nothing(
    spoil: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    folder = headed(tmp_path / "lungs", [(f"{CANARY}-{row // 2}", "") for row in range(8)])
    spoil(folder)
    (note,) = IMAGES.notes(folder)
    assert note.startswith(says)
    assert CANARY not in note
    assert IMAGES.read(folder).train.patients is None


def test_a_damaged_and_an_absent_file_say_nothing_and_are_refused_for_their_pixels(tmp_path: Path) -> None:
    folder = headed(tmp_path / "lungs", [(f"{CANARY}-{row // 2}", "") for row in range(8)])
    (folder / "IM1").unlink()
    (folder / "IM2").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 9)
    (note,) = IMAGES.notes(folder)
    assert note.startswith("labels.csv has no column patient, and 2 of 8 files have no PatientID as DICOM files have")
    with pytest.raises(FileRejected, match=r"the file of row 3 is not there; that of row 4 is a"):
        IMAGES.frame(folder)


def test_a_split_that_divides_a_patient_of_dicom_files_is_refused_by_row(tmp_path: Path) -> None:
    folder = headed(tmp_path / "lungs", [(f"{CANARY}-{row // 4}", "") for row in range(8)])
    labels = pd.read_csv(folder / LABELS).assign(split=["train"] * 7 + ["test"])
    labels.to_csv(folder / LABELS, index=False)
    with pytest.raises(FileRejected, match=r"got patients with records in train and in test, in rows 6, 7, 8, 9") as no:
        IMAGES.frame(folder)
    assert CANARY not in str(no.value)


def test_of_a_patient_no_element_is_read_but_number_and_issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pydicom

    kept = []
    original = pydicom.dcmread

    def spy(*arguments: object, **options: object) -> object:
        kept.append(original(*arguments, **options))
        return kept[-1]

    folder = headed(tmp_path / "lungs", [("1", "north"), ("2", "north")])
    monkeypatch.setattr(pydicom, "dcmread", spy)
    IMAGES.notes(folder)
    assert len(kept) == 2
    for header in kept:
        assert {element.keyword for element in header} <= {"PatientID", "IssuerOfPatientID"}  # type: ignore[attr-defined]
        assert CANARY not in str(header)


@given(seed=st.integers(0, 200))
def test_the_pool_takes_whole_patients_and_about_its_share_of_each_class(seed: int) -> None:
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(30), rng.integers(1, 6, 30))
    labels = rng.integers(0, 2, len(patients))
    samples = Samples(
        rng.integers(-9, 9, (len(patients), 3), dtype=np.int16), labels, np.array([f"{one}" for one in patients], "S64")
    )
    trained, pool = split(samples, MINE)
    assert sorted([*trained, *pool]) == list(range(len(patients)))
    assert not set(patients[trained]) & set(patients[pool])
    room = np.bincount(labels) // POOL_SHARE - np.bincount(labels[pool], minlength=2)
    assert (room >= 0).all()
    # Nobody is left who would still fit in.
    for one in set(patients[trained]):
        assert (np.bincount(labels[patients == one], minlength=2) > room).any()


def test_a_patient_stays_where_they_are_when_their_further_records_come() -> None:
    rng = np.random.default_rng(2)
    patients = np.array([f"{row % 40}" for row in range(80)], "S64")
    samples = Samples(rng.integers(-9, 9, (80, 3), dtype=np.int16), np.arange(80) % 2, patients)
    more = Samples(
        np.concatenate([samples.inputs, samples.inputs + 1]),
        np.concatenate([samples.labels] * 2),
        np.concatenate([patients] * 2),
    )
    before = set(patients[split(samples, MINE)[1]])
    assert set(np.concatenate([patients] * 2)[split(more, MINE)[1]]) == before


def test_a_class_of_two_large_patients_has_one_in_the_pool() -> None:
    labels = np.array([0] * 12 + [1] * 12)
    patients = np.array(["a"] * 7 + ["b"] * 5 + [f"c{row}" for row in range(12)], "S64")
    samples = Samples(np.arange(24, dtype=np.int16)[:, None], labels, patients)
    _, pool = split(samples, MINE)
    assert patients[pool][labels[pool] == 0].tolist() == [b"b"] * 5
    alone = Samples(samples.inputs, labels, np.where(labels == 0, b"a", patients))
    assert not (labels[split(alone, MINE)[1]] == 0).any()


def test_a_draw_has_one_record_of_each_patient_before_a_second_of_anybody() -> None:
    patients = np.array([f"{row // 8}" for row in range(96)], "S64")
    pool = Samples(np.arange(96, dtype=np.int16)[:, None], np.arange(96) // 8 % 2, patients)
    drawn = draw(pool, 12, MINE, STUDY, RoundId(1), ASTER)
    assert sorted(drawn.inputs.reshape(-1) // 8) == list(range(12))


def test_a_patient_with_many_records_has_the_chances_of_one_with_one() -> None:
    patients = np.array(["many"] * 98 + ["one", "other"], "S64")
    samples = Samples(np.zeros((100, 1), np.int16), np.zeros(100, np.int64), patients)
    rows = torch.arange(100)
    drawn = _drawn(rows, _weights(samples), 3000, torch.Generator().manual_seed(1)).numpy()
    shares = [(patients[drawn] == name).mean() for name in (b"many", b"one", b"other")]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.04)


def test_the_test_part_has_somebody_of_each_class_that_has_two_patients() -> None:
    for seed in range(40):
        frame = pd.DataFrame(
            {"record_id": [f"{seed}-{row}" for row in range(44)], "label": ["a"] * 40 + ["b"] * 3 + ["c"]}
        )
        frame = with_split(frame, "record_id")
        assert set(frame["label"][frame["split"] == SPLITS[1]]) >= {"a", "b"}
        assert "a" in set(frame["label"][frame["split"] == SPLITS[0]])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda frame: frame.assign(patient=[None, " ", *frame["patient"][2:]]),
            r"records\.csv: got no patient in rows 2, 3; want one in every row, or no column patient",
        ),
        (
            lambda frame: frame.assign(patient=CANARY, split=["train", "test", *["train"] * (len(frame) - 2)]),
            r"records\.csv: got patients with records in train and in test, in rows 2, 3, 4, 5, 6 and \d+ more; want",
        ),
    ],
)
def test_a_record_of_nobody_and_a_divided_patient_are_refused_by_row(spoil: object, says: str, tmp_path: Path) -> None:
    table(tmp_path, spoil(stays(1)))  # type: ignore[operator]
    with pytest.raises(FileRejected, match=says) as caught:
        TABLE.frame(tmp_path)
    assert CANARY not in str(caught.value)


def test_the_column_of_the_labels_goes_before_the_headers(tmp_path: Path) -> None:
    frame = stays(4, 12)
    scans(tmp_path, frame)
    assert IMAGES.notes(tmp_path) == [
        "labels.csv has no column patient: the PatientID of the DICOM files says whose they are."
    ]
    labels = pd.read_csv(tmp_path / LABELS)
    labels.assign(patient=range(len(labels))).to_csv(tmp_path / LABELS, index=False)
    assert IMAGES.notes(tmp_path) == []
    patients = IMAGES.read(tmp_path).train.patients
    assert patients is not None
    assert len(set(patients)) == len(patients)


def test_patients_are_dealt_with_their_records(tmp_path: Path) -> None:
    for lay_out in (table, pictures):
        dataset = lay_out(tmp_path / ("sepsis" if lay_out is table else "lungs"), stays(3, 20))
        train, test = dataset.load([tmp_path])
        dataset.write(tmp_path / "aster", train, test)
        again = dataset.read(tmp_path / "aster", lambda: MINE)
        assert again.train.patients is not None
        assert len(set(again.train.patients)) == len(set(whose(again.train)))


def test_a_bundled_table_takes_patients_too(tmp_path: Path) -> None:
    dataset = DATASETS["breast_cancer"]
    train, test = dataset.load([])
    dataset.write(tmp_path, train[np.arange(40)], test[np.arange(10)])
    frame = pd.read_csv(tmp_path / "records.csv")
    frame.assign(patient=frame["record_id"]).to_csv(tmp_path / "records.csv", index=False)
    assert dataset.read(tmp_path).train.patients is not None


def test_the_border_lets_no_patient_through(tmp_path: Path) -> None:
    home = tmp_path / "aster"
    write_secret(home / "sharing-secret", MINE.reveal())
    table(records_folder(home, "sepsis"), stays(1).assign(age=CANARY))
    with pytest.raises(DataRejected) as caught:
        read(home, TABLE)
    assert CANARY not in str(caught.value)
