"""Rounds on records that each hospital's own query makes: words, dates and patients of a database, and one attacker."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy

from pipeline.datasets import records
from pipeline.datasets.records import records_folder
from pipeline.datasets.table_files import PARQUET
from pipeline.domain import Kind, RoundId
from pipeline.errors import DataRejected
from pipeline.host.files import write_secret
from pipeline.ingest.freeze import DATABASE_URL
from tests.support.canaries import files_with, stored
from tests.support.installed import HOSPITALS, Installed
from tests.support.rounds import Play

SIX = HOSPITALS[:6]
ELM = HOSPITALS[4]
FERN = HOSPITALS[5]
STAYS = 160
PASSWORD = "canary-password"
PATIENT = "canary-patient"
WORD = "canary-word"

QUERY = """SELECT stay AS record_id, patient, sex, seen, born, lactate, outcome AS label FROM stays"""
STUDY = {
    "hospitals": list(SIX),
    "table": {
        "query": "stays.sql",
        "missing": [-9],
        "columns": {
            "sex": {"categories": ["M", "F"], "empty": "mean"},
            "seen": {"days_since": "born", "lowest": 0, "highest": 45000, "mean": 20000, "deviation": 8000},
            "lactate": {"lowest": 0, "highest": 30, "mean": 4, "deviation": 3, "empty": "flagged"},
        },
        "classes": ["recovered", "septic"],
    },
    "training": {"steps": 12, "batch_size": 32},
    "rule": {"images_per_hospital": 32},
}


def stays(seed: int) -> pd.DataFrame:
    """Two stays of each patient; lactate tells most of the outcome."""
    rng = np.random.default_rng(seed)
    septic = np.repeat(rng.random(STAYS // 2) < 0.5, 2)
    age = rng.integers(20 * 365, 90 * 365, STAYS)
    return pd.DataFrame(
        {
            "stay": np.arange(STAYS),
            "patient": [f"{PATIENT}-{seed}-{row // 2}" for row in range(STAYS)],
            "sex": rng.choice(["M", "F"], STAYS),
            "seen": "2026-11-29",
            "born": [str((pd.Timestamp("2026-11-29") - pd.Timedelta(days=int(days))).date()) for days in age],
            "lactate": np.where(
                rng.random(STAYS) < 0.05, -9, np.clip(rng.normal(np.where(septic, 7, 2), 1.2), 0, 30).round(2)
            ),
            "outcome": np.where(septic, "septic", "recovered"),
        }
    )


@pytest.fixture(scope="module")
def play(site: Installed) -> Iterator[Play]:
    play = site.play("stays", **{"dataset": "stays", **STUDY})
    for seed, name in enumerate(SIX):
        home = site.settings.hospital(name)
        folder = records_folder(home, "stays")
        folder.mkdir(parents=True)
        (folder / "stays.sql").write_text(QUERY)
        rows = stays(seed)
        if name == FERN:
            rows.loc[3, "sex"] = WORD
        address = f"sqlite:///{site.settings.home.parent / f'{PASSWORD}-{name}.sqlite'}"
        engine = sqlalchemy.create_engine(address)
        rows.to_sql("stays", engine, index=False)
        engine.dispose()
        write_secret(home / DATABASE_URL, address.encode())
    configured = site.settings.hospital(ELM) / "hospital.yaml"
    before = configured.read_bytes() if configured.exists() else None
    configured.write_text("misbehaviour: label_flip\n")
    yield play
    configured.unlink()
    if before is not None:
        configured.write_bytes(before)


@pytest.fixture(scope="module")
def last(play: Play) -> RoundId:
    """The last of two rounds."""
    return [round_of(play, f"run-{number}") for number in range(2)][-1]


def round_of(play: Play, run_id: str) -> RoundId:
    """A whole round. Fern, whose records cannot be read, confirms nothing."""
    round_id = play.committed(run_id)
    play.verify(round_id)
    play.aggregate(round_id)
    play.provider("finalise", round_id)
    for name in SIX:
        if name not in play.absences:
            play.hospital("confirm", round_id, name)
    play.nodes("retire", round_id)
    return round_id


def test_from_a_query_to_a_model_and_only_the_attacker_is_rejected(site: Installed, play: Play, last: RoundId) -> None:
    record = site.record(last)
    assert record["verdicts"] == dict.fromkeys(SIX, "accepted") | {ELM: "rejected", FERN: "absent"}
    assert record["absent"] == {FERN: "invalid_data"}
    confirmed = [site.said(last, Kind.CONFIRMATION, name).body for name in SIX if name not in (ELM, FERN)]
    assert sum(body["correct"] for body in confirmed) > 0.9 * sum(body["tested"] for body in confirmed)
    site.audits(last)


def test_a_round_reads_the_database_anew_and_keeps_a_version(site: Installed, play: Play, last: RoundId) -> None:
    aster = SIX[0]
    home = site.settings.hospital(aster)
    frozen = records_folder(home, "stays") / PARQUET
    before = site.said(last, Kind.VALIDATION, aster).body["dataset_version"]
    engine = sqlalchemy.create_engine((home / DATABASE_URL).read_text())
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM stays WHERE stay < 2"))
    engine.dispose()
    assert len(pd.read_parquet(frozen)) == STAYS
    later = round_of(play, "run-later")
    assert len(pd.read_parquet(frozen)) == STAYS - 2
    assert site.said(later, Kind.VALIDATION, aster).body["dataset_version"] != before
    split = records.read(home, play.study.source)
    assert not {*split.train.patients} & {*split.test.patients}  # type: ignore[misc]


def test_no_address_patient_or_word_of_a_database_is_found_away_from_its_owner(
    site: Installed, play: Play, last: RoundId, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(play.absences[FERN], DataRejected)
    said = ["".join(traceback.format_exception(error)) for error in play.absences.values()]
    said += [*capfd.readouterr(), caplog.text]
    objects = stored(site)
    assert len(objects) > 50
    everywhere = [text.encode() for text in said] + objects
    for needle in (PASSWORD, PATIENT, WORD):
        assert not any(needle.encode() in data for data in everywhere), needle
        files = files_with(site, needle)
        assert files
        assert all(_may_have(site, path, needle) for path in files), needle


def _may_have(site: Installed, path: Path, needle: str) -> bool:
    """A hospital's address lies in its one file, a patient among its records, and a wrong word in its data docs too."""
    homes = [site.settings.hospital(name) for name in SIX]
    if needle == PASSWORD:
        return path in [home / DATABASE_URL for home in homes]
    allowed = [home / "data" for home in homes] + ([home / "docs" for home in homes] if needle == WORD else [])
    return any(path.is_relative_to(folder) for folder in allowed)
