from __future__ import annotations

from pathlib import Path

import yaml

from pipeline import identity
from pipeline.setup import demonstration
from tests.support.installations import settings_in, study


def test_one_hospital_misbehaves_by_its_own_file_and_an_edited_file_is_kept(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    demonstration.configure_hospitals(settings, ("aster", "elm"))
    files = {name: settings.hospital(name) / "hospital.yaml" for name in ("aster", "elm")}
    assert {name: yaml.safe_load(file.read_text())["misbehaviour"] for name, file in files.items()} == {
        "aster": "honest",
        "elm": "label_flip",
    }
    files["elm"].write_text("misbehaviour: free_rider\n")
    demonstration.configure_hospitals(settings, ("aster", "elm"))
    assert files["elm"].read_text() == "misbehaviour: free_rider\n"


def test_records_are_dealt_once_and_never_over_a_hospital_s_own(tmp_path: Path) -> None:
    settings, studies = settings_in(tmp_path), {"breast_cancer": study()}
    identity.create(settings.hospital("aster"))
    assert demonstration.deal_records(settings, studies) == []
    assert not settings.hospital("birch").exists(), "a hospital whose key is elsewhere has its own records"
    records = settings.hospital("aster") / "data" / "records" / "breast_cancer" / "records.csv"
    assert len(records.read_text().splitlines()) > 20
    records.write_text("mended by the hospital\n")
    assert demonstration.deal_records(settings, studies) == []
    assert records.read_text() == "mended by the hospital\n"
