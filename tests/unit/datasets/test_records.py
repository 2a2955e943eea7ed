"""The border at which foreign exceptions lose what they quote."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest

from pipeline.datasets import DATASETS
from pipeline.datasets.base import RECORDS
from pipeline.datasets.images import IMAGES
from pipeline.datasets.records import read, readable, records_folder, shielded
from pipeline.errors import DataRejected, FileRejected, UpdateRejected

CANARY = "CANARY-4711"


def chain(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error.__cause__) + repr(error.__context__)


def test_a_foreign_exception_leaves_its_class_and_nothing_else() -> None:
    def action() -> None:
        try:
            raise KeyError(CANARY)
        except KeyError as error:
            raise ValueError(f"cannot convert {CANARY}") from error

    with pytest.raises(DataRejected) as caught:
        shielded("aster", "records are readable", action)
    assert CANARY not in chain(caught.value)
    assert caught.value.failed == ("records are readable (ValueError)",)
    assert caught.value.__context__ is None


def test_our_own_errors_pass_the_border() -> None:
    def action() -> None:
        raise UpdateRejected("wrong length")

    with pytest.raises(UpdateRejected, match="wrong length"):
        shielded("aster", "records are readable", action)


@pytest.mark.parametrize(
    ("dataset", "file", "content"),
    [
        ("breast_cancer", RECORDS, f'record_id,split\n"{CANARY}'.encode()),
        ("breast_cancer", RECORDS, f"record_id,split,label\n{CANARY},train,{CANARY}\n".encode()),
        ("breast_cancer", RECORDS, CANARY.encode() + b"\xff\xfe\x00"),
        ("pneumonia", IMAGES, CANARY.encode()),
        ("pneumonia", RECORDS, b""),
    ],
)
def test_unreadable_records_are_refused_without_quoting_them(
    dataset: str,
    file: str,
    content: bytes,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    home = tmp_path / "aster"
    folder = records_folder(home, dataset)
    folder.mkdir(parents=True)
    (folder / RECORDS).write_text("record_id,split,label\n1,train,normal\n")
    (folder / file).write_bytes(content)
    with caplog.at_level(logging.DEBUG), pytest.raises(DataRejected) as caught:
        read(home, DATASETS[dataset])
    assert str(caught.value).startswith("aster: records fail the data contract: records are readable")
    assert CANARY not in chain(caught.value) + caplog.text + "".join(capfd.readouterr())


def test_missing_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRejected, match=r"records\.csv: got no such file"):
        read(tmp_path / "aster", DATASETS["pneumonia"])


def test_records_to_predict_that_cannot_be_read_name_the_kind_of_error_and_quote_nothing() -> None:
    def read() -> None:
        raise ValueError("could not convert 4711")

    with pytest.raises(FileRejected) as caught:
        readable("rows.csv", read)
    assert (
        str(caught.value)
        == "rows.csv: got records that cannot be read (ValueError); want them as the hospital keeps its own"
    )
    assert caught.value.__context__ is None
