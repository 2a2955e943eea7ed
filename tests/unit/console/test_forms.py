"""What a hospital's people type and upload: refused in words where it is wrong, bounded, and never left behind."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from starlette.datastructures import UploadFile

from pipeline.airflow.accounts import Role
from pipeline.datasets.own_table import OwnTable
from pipeline.datasets.table import Column
from pipeline.datasets.table_files import from_json
from pipeline.domain import HospitalName
from pipeline.errors import FileRejected, Misconfigured, Refused, Unavailable
from pipeline.site.settings import Settings
from plugins.console import hospital_folder, uploads
from plugins.console.people import Person
from tests.adversary import attack
from tests.support.console import client, of_hospital
from tests.support.installations import settings_in

COLUMNS = (
    Column("age", 50, 10, 0, 120),
    Column("pressure", 130, 20, 50, 250, empty="mean"),
    Column.coded("sex", 0.5, 0.5, (0, 1), "refused"),
)
ASTER = of_hospital("aster")


def cells(columns: Sequence[Column], typed: Sequence[str]) -> dict[str, float | str]:
    """What the page makes of a row."""
    from plugins.console.pages import predict

    return predict.cells(columns, typed)


def test_a_typed_row_becomes_numbers_without_its_empty_cells() -> None:
    assert cells(COLUMNS, ["61.5", "", "1"]) == {"age": 61.5, "sex": 1.0}


def test_a_typed_row_of_words_and_days_is_what_the_study_s_table_reads() -> None:
    columns = (
        Column("sex", 0, 1, 0, 1, categories=("M", "F")),
        Column("stay", 10, 5, 0, 60, days_since="admitted"),
        Column("wait", 10, 5, 0, 60, days_since="admitted", empty="mean"),
    )
    dataset = OwnTable("wards", columns, ("a", "b"))
    asked = dataset.questions_of(from_json(json.dumps(cells(columns, ["F", "2.5", ""])), "a form"))
    assert dataset.encode(asked.values).tolist() == [[0, 256, -384, 0]]
    with pytest.raises(FileRejected, match="stay is no number"):
        cells(columns, ["M", "1e9", ""])


def test_a_row_of_another_data_set_is_refused() -> None:
    with pytest.raises(FileRejected, match="got 2 cells, want one for each of 3 columns"):
        cells(COLUMNS, ["1", "2"])


def test_each_wrong_cell_of_a_row_is_told_by_its_column_and_never_by_its_value() -> None:
    with pytest.raises(FileRejected) as caught:
        cells(COLUMNS, ["sixty", "inf", ""])
    assert (
        str(caught.value)
        == "age is no number; write one with a point, such as 1.5. pressure is no number; write one with a point, such"
        " as 1.5. sex is empty; every row needs a value there."
    )


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("scan 1.png", "scan 1.png"),
        ("../../etc/passwd.csv", "passwd.csv"),
        ("C:\\Users\\x\\scan.DCM", "scan.dcm"),
        ("<script>alert(1)</script>.png", "script_.png"),
        (".hidden.csv", "hidden.csv"),
        ("--help.json", "--help.json"),
        ("", "file-7"),
        (None, "file-7"),
        ("a" * 300 + ".parquet", "a" * 80 + ".parquet"),
    ],
)
def test_an_uploaded_file_keeps_a_plain_name(given: str | None, plain: str) -> None:
    assert uploads.plain_name(given, 7) == plain


def upload(name: str, data: bytes = b"content") -> UploadFile:
    return UploadFile(BytesIO(data), filename=name)


def test_uploads_lie_in_a_private_folder_while_they_are_read_and_nowhere_afterwards() -> None:
    with uploads.laid_out([upload("a.png"), upload("a.png", b"other")], table=False) as folder:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a.png": b"content", "2-a.png": b"other"}
        assert [oct(path.stat().st_mode & 0o777) for path in (folder, *folder.iterdir())] == ["0o700", "0o600", "0o600"]
    assert not folder.exists()
    seen: list[Path] = []
    with suppress(RuntimeError), uploads.laid_out([upload("rows.csv")], table=True) as file:
        seen = [file, file.parent]
        raise RuntimeError
    assert [path.exists() for path in seen] == [False, False]


@pytest.mark.parametrize(
    ("files", "table", "message"),
    [
        ([], True, "got no file"),
        ([upload("a.csv"), upload("b.csv")], True, "want one table"),
        ([upload("a.xlsx")], True, "want one table"),
        ([upload(f"{place}.png") for place in range(uploads.MOST_FILES + 1)], False, "at most 100"),
    ],
)
def test_what_is_no_table_and_too_many_pictures_are_refused(files: list[UploadFile], table: bool, message: str) -> None:
    with pytest.raises(FileRejected, match=message), uploads.laid_out(files, table=table):
        pass


@attack(
    by="stranger",
    to="stop",
    tries="to fill the console's memory by one request",
    costs="nothing",
    seen="nothing: it is refused unread",
)
def test_a_request_that_is_too_large_or_says_no_length_is_refused_before_it_is_read(tmp_path: Path) -> None:

    pages = client(settings_in(tmp_path), ASTER)
    large = pages.post("/hospital/predict/files", content=b"x", headers={"content-length": str(uploads.MOST_BYTES + 1)})
    assert large.status_code == 413
    assert "The files are larger than 32,768 KiB in all" in large.text
    assert pages.post("/hospital/check/data", content=b"x", headers={"content-length": str(1 << 20)}).status_code == 413
    assert pages.post("/hospital/predict/files", content=b"x", headers={"content-length": "-1"}).status_code == 413
    chunked = pages.post("/hospital/predict/files", content=iter([b"x"]), headers={"transfer-encoding": "chunked"})
    assert chunked.status_code == 413


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = settings_in(tmp_path)
    found.hospital("aster").mkdir(parents=True)
    (found.hospital("aster") / "signing-key").write_text("none")
    return found


def test_a_hospital_runs_one_command_at_a_time_and_no_lock_is_left(settings: Settings) -> None:
    handle = os.open(settings.hospital("aster"), os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(Refused, match="another check or prediction"):
        hospital_folder.ask(settings, ASTER, "study", "digest", "breast_cancer")
    os.close(handle)
    assert [path.name for path in settings.hospital("aster").iterdir()] == ["signing-key"]


def test_a_command_that_takes_too_long_is_ended(settings: Settings) -> None:
    with pytest.raises(Unavailable, match="was ended"):
        hospital_folder.ask(settings, ASTER, "study", "digest", "breast_cancer", seconds=0.01)


def test_a_hospital_whose_folder_is_elsewhere_gets_no_command_and_no_key(settings: Settings) -> None:
    for action in (
        lambda: hospital_folder.ask(settings, of_hospital("birch"), "x"),
        lambda: hospital_folder.identity(settings, of_hospital("birch")),
    ):
        with pytest.raises(Refused, match="folder of birch is not on this machine"):
            action()


@pytest.mark.parametrize("name", ["../nodes/north", "", "a/b", "ASTER", None])
def test_a_role_that_names_no_hospital_opens_no_folder(settings: Settings, name: str | None) -> None:
    with pytest.raises(Misconfigured, match="names no hospital"):
        hospital_folder.folder(
            settings, Person("somebody", Role.HOSPITAL, HospitalName(name) if name is not None else None)
        )
