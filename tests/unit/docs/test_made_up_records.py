"""What `examples/` makes up is read as the studies of the page on them say, by a few patients a hospital."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from examples import lesions, scans, stays
from examples.hospitals import Hospital, write_for_all
from pipeline.datasets import Samples
from pipeline.datasets.records import records_folder
from pipeline.domain import Address, HospitalName
from pipeline.ingest.freeze import freeze
from pipeline.site.consortium import Consortium, LedgerLocation
from pipeline.site.settings import HOME, Settings
from pipeline.study.study import Study
from tests.support.prose import PROJECT

PAGE = (PROJECT / "docs" / "how-to" / "whole-studies.md").read_text()
SAVED = dict(re.findall(r"Save as `([\w./-]+)`:\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
FEW = 12


def read(made_by: ModuleType, attribute: str, number: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Samples:
    """The training records of the hospital of that number."""
    monkeypatch.setattr(made_by, attribute, FEW)
    file = folder / f"{made_by.STUDY}.yaml"
    file.write_text(SAVED[f"studies/{file.name}"])
    study = Study.load(file)
    home = folder / study.hospitals[number]
    records = records_folder(home, study.name)
    records.mkdir(parents=True)
    count = made_by.make(Hospital(number, home.name, home, records, np.random.default_rng(number)))
    if study.table and study.table.query:
        (records / study.table.query).write_text(SAVED[study.table.query])
        frozen = freeze(home, study.source)
        assert frozen is not None
        assert frozen.rows == count
    split = study.source.read(records)
    assert len(split.train) + len(split.test) == count > FEW
    assert split.train.patients is not None
    assert split.test.patients is not None
    assert len({*split.train.patients, *split.test.patients}) == FEW
    return split.train


def test_whoever_is_no_member_is_made_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME, str(tmp_path))
    monkeypatch.setattr("sys.argv", ["lesions", "aster", "ceder"])
    ledger = LedgerLocation(chain_id=1, contract=f"0x{'0' * 40}", development=True)
    members = {HospitalName(name): Address(f"0x{number:040}") for number, name in enumerate(("aster", "cedar"))}
    Consortium(ledger=ledger, hospitals=members, nodes={}).save(Settings.load().consortium)
    with pytest.raises(SystemExit, match="2"):
        write_for_all(lesions.STUDY, "", lesions.make)
    assert "hospital 'ceder' has no key in the consortium file, which lists aster, cedar" in capsys.readouterr().err
    assert not (tmp_path / "hospitals").exists()


@pytest.mark.parametrize("number", range(len(scans.COMPRESSIONS)))
def test_slices_are_read_whatever_their_compression_on_one_scale(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = read(scans, "PATIENTS", number, tmp_path, monkeypatch).inputs
    # Tissue of 45 units lies at 0.93 of the window, half of which are 0.43 units of the model.
    assert np.quantile(inputs, 0.95) == pytest.approx(0.43 * 256, abs=8)


def test_photographs_are_read_in_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    red, green, blue = np.moveaxis(read(lesions, "PATIENTS", 0, tmp_path, monkeypatch).inputs, 1, 0)
    assert red.mean() > green.mean() > blue.mean()


def test_stays_are_read_from_the_database_by_the_page_s_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(stays, "PERSONS", 0, tmp_path, monkeypatch)
