"""Pictures are decoded once for a version of the records and the study's settings, at their hospital."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.datasets import decoded, images, records
from pipeline.datasets.decoded import DECODED
from pipeline.datasets.images import LABELS
from pipeline.datasets.own_images import OwnImages
from pipeline.datasets.records import records_folder
from pipeline.datasets.schema import ImagesSchema
from pipeline.errors import DataRejected
from pipeline.host.files import write_secret
from tests.support.pictures import CANARY, dicom, png

CLASSES = ("normal", "pneumonia")
RNG = np.random.default_rng(3)


def lungs(**fields: Any) -> OwnImages:
    return ImagesSchema.model_validate({"size": (8, 8), "classes": CLASSES, "scale": "levels"} | fields).dataset(
        "lungs"
    )


def some(size: int = 12) -> Any:
    return RNG.integers(0, 255, (size, size), dtype=np.uint8)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A hospital with eight pictures, half of them DICOM with a patient's number."""
    home = tmp_path / "aster"
    folder = records_folder(home, "lungs")
    folder.mkdir(parents=True)
    write_secret(home / "sharing-secret", b"m" * 32)
    for number in range(8):
        if number % 2:
            png(folder / f"{number}.png", some())
        else:
            dicom(folder / f"{number}.dcm", some(), PatientID=f"{CANARY}-{number}")
    listed([path.name for path in folder.iterdir()], folder)
    return home


def listed(names: list[str], folder: Path) -> None:
    rows = [{"file": name, "label": CLASSES[place % 2]} for place, name in enumerate(sorted(names))]
    pd.DataFrame(rows).to_csv(folder / LABELS, index=False)


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were decoded since it was last cleared."""
    names: list[str] = []
    picture = images.picture

    def counted(path: Path, *settings: Any) -> Any:
        names.append(path.name)
        return picture(path, *settings)

    monkeypatch.setattr(images, "picture", counted)
    return names


def everything(home: Path, dataset: OwnImages) -> list[Any]:
    """What all steps of a round read."""
    split = records.read(home, dataset)
    counted = [counts.tolist() for _, counts in records.statistics(home, dataset)]
    frame = records.frame(home, dataset)
    arrays = [split.train.inputs, split.train.labels, split.test.inputs, split.test.labels]
    return [*(array.tolist() for array in arrays), counted, frame.to_csv()]


def test_the_steps_of_a_round_decode_each_picture_once_and_read_the_same_as_without(
    home: Path, decodings: list[str]
) -> None:
    dataset = lungs()
    folder = records_folder(home, "lungs")
    plain = dataset.read(folder)
    assert len(decodings) == 8
    decodings.clear()
    first = everything(home, dataset)
    assert sorted(decodings) == sorted(path.name for path in folder.iterdir() if path.name != LABELS)
    decodings.clear()
    assert everything(home, dataset) == first
    assert decodings == []
    assert first[0] == plain.train.inputs.tolist()
    assert first[2] == plain.test.inputs.tolist()
    (file,) = (home / DECODED).glob("*.npz")
    assert file.stat().st_mode & 0o077 == 0
    assert CANARY.encode() not in file.read_bytes()


def test_of_a_new_version_what_changed_is_decoded_and_what_went_is_forgotten(home: Path, decodings: list[str]) -> None:
    records.read(home, lungs())
    decodings.clear()
    folder = records_folder(home, "lungs")
    png(folder / "1.png", some())
    listed([path.name for path in folder.iterdir() if path.name not in (LABELS, "3.png")], folder)
    changed = records.read(home, lungs())
    assert decodings == ["1.png"]
    assert len(changed.train) + len(changed.test) == 7
    with np.load(home / DECODED / "lungs.npz") as kept:
        assert len(kept["files"]) == 7
    (folder / LABELS).unlink()
    with pytest.raises(DataRejected, match=r"got no labels\.csv"):
        records.read(home, lungs())
    assert not (home / DECODED / "lungs.npz").exists()


@pytest.mark.parametrize("other", [{"size": (6, 6)}, {"channels": 3}, {"bits": 12}])
def test_other_settings_decode_anew(other: dict[str, Any], home: Path, decodings: list[str]) -> None:
    records.read(home, lungs())
    decodings.clear()
    read = records.read(home, lungs(**other))
    assert len(decodings) == 8
    assert read.train.inputs.tolist() == lungs(**other).read(records_folder(home, "lungs")).train.inputs.tolist()


def test_another_reader_decodes_anew(home: Path, decodings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    records.read(home, lungs())
    decodings.clear()
    monkeypatch.setattr(decoded, "_readers", lambda: "of another version")
    records.read(home, lungs())
    assert len(decodings) == 8


def test_the_scale_of_a_study_is_no_reason_to_decode_again(home: Path, decodings: list[str]) -> None:
    records.read(home, lungs())
    decodings.clear()
    records.read(home, lungs(mean=[100], deviation=[50]))
    assert decodings == []


@pytest.mark.parametrize("damage", ["empty", "half", "other bytes", "nothing"])
def test_what_is_damaged_is_made_again_and_what_a_killed_step_left_is_removed(
    damage: str, home: Path, decodings: list[str]
) -> None:
    first = everything(home, lungs())
    file = home / DECODED / "lungs.npz"
    whole = file.read_bytes()
    (home / DECODED / ".lungs.npz.killed").write_bytes(whole[:100])
    bad = {"empty": b"", "half": whole[: len(whole) // 2], "other bytes": b"PK" + whole[2:1000], "nothing": None}[
        damage
    ]
    if bad is None:
        file.unlink()
    else:
        file.write_bytes(bad)
    decodings.clear()
    assert everything(home, lungs()) == first
    assert len(decodings) == 8
    assert sorted(path.name for path in (home / DECODED).iterdir()) == [".lock", "lungs.npz"]


def test_steps_at_once_read_the_same(home: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        read = [one.result() for one in [threads.submit(everything, home, lungs()) for _ in range(4)]]
    assert all(one == read[0] for one in read)
    assert everything(home, lungs()) == read[0]
