from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.progress import Progress

from pipeline.datasets import Records, publishers
from pipeline.datasets.breast_cancer import BreastCancer
from pipeline.datasets.records import kept
from pipeline.setup import demonstration
from pipeline.site import identity
from tests.support.heart import publish
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
    settings = settings_in(tmp_path)
    studies = {"breast_cancer": study()}
    identity.create(settings.hospital("aster"))
    assert demonstration.deal_records(settings, studies) == {}
    assert not settings.hospital("birch").exists(), "a hospital whose key is elsewhere has its own records"
    records = settings.hospital("aster") / "data" / "records" / "breast_cancer" / "records.csv"
    assert len(records.read_text().splitlines()) > 20
    records.write_text("mended by the hospital\n")
    assert demonstration.deal_records(settings, studies) == {}
    assert records.read_text() == "mended by the hospital\n"
    shutil.rmtree(records.parent)
    assert demonstration.deal_records(settings, studies) == {}
    assert not records.exists(), "what a hospital threw away stays away"


def test_a_hospital_that_brings_its_own_records_is_dealt_none(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    studies = {"breast_cancer": study()}
    identity.create(settings.hospital("aster"))
    records = settings.hospital("aster") / "data" / "records" / "breast_cancer" / "records.csv"
    records.parent.mkdir(parents=True)
    records.write_text("the hospital's own\n")
    assert demonstration.deal_records(settings, studies) == {}
    assert records.read_text() == "the hospital's own\n"


def test_an_interrupted_dealing_leaves_no_records_and_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    studies = {"breast_cancer": study()}
    identity.create(settings.hospital("aster"))
    write = BreastCancer.write

    def interrupted(self: BreastCancer, folder: Path, train: Records, test: Records) -> None:
        write(self, folder, train, test)
        raise KeyboardInterrupt

    monkeypatch.setattr(BreastCancer, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demonstration.deal_records(settings, studies)
    assert not kept(settings.hospital("aster"), "breast_cancer")
    monkeypatch.undo()
    assert demonstration.deal_records(settings, studies) == {}
    assert kept(settings.hospital("aster"), "breast_cancer")


def test_studies_without_data_are_named_with_the_reason_and_the_others_dealt(tmp_path: Path) -> None:
    settings = replace(settings_in(tmp_path), data=(tmp_path / "nowhere",))
    identity.create(settings.hospital("aster"))
    lacking = demonstration.deal_records(
        settings, {name: study(name) for name in ("breast_cancer", "pneumonia", "pneumonia_mp_spdz")}
    )
    assert list(lacking) == ["pneumonia", "pneumonia_mp_spdz"]
    assert len(set(lacking.values())) == 1
    assert "got no pneumoniamnist.npz" in lacking["pneumonia"]
    assert kept(settings.hospital("aster"), "breast_cancer")


def test_only_what_is_to_be_dealt_and_is_not_here_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], Path]] = []
    monkeypatch.setattr(publishers, "fetch", lambda datasets, folder, progress: asked.append((list(datasets), folder)))
    given = publish(tmp_path / "given")
    settings = replace(
        settings_in(tmp_path / "home"), cache=tmp_path / "cache", data=(given, tmp_path / "cache" / "data")
    )
    studies = {name: study(name) for name in ("breast_cancer", "heart_disease", "pneumonia", "pneumonia_mp_spdz")}
    bars = Progress(disable=True)
    demonstration.fetch(settings, studies, bars)
    for name in ("aster", "cleveland"):
        identity.create(settings.hospital(name))
    demonstration.fetch(settings, studies, bars)
    (given / "heart-disease" / "processed.va.data").unlink()
    demonstration.fetch(settings, studies, bars)
    folder = tmp_path / "cache" / "data"
    assert asked == [([], folder), (["pneumonia"], folder), (["heart_disease", "pneumonia"], folder)]
