"""A hospital's database of intensive care in tables of OMOP's common data model: SQLite, with the address to it.

A septic patient has more lactate, a faster heart, and is a little warmer and older. Some values were never measured.
"""

from __future__ import annotations

import sqlite3
from datetime import date, timedelta

import numpy as np

from examples.hospitals import Hospital, write_for_all
from pipeline.host.files import write_secret
from pipeline.ingest.freeze import DATABASE_URL

STUDY = "stays"
PERSONS = 220
MALE, FEMALE, SEPSIS = 8507, 8532, 132797
LACTATE, HEART_RATE, TEMPERATURE = 3047181, 3027018, 3020891
"""OMOP's numbers of concepts."""

TABLES = """
CREATE TABLE person (person_id INTEGER PRIMARY KEY, gender_concept_id INTEGER, birth_datetime TEXT);
CREATE TABLE visit_occurrence (visit_occurrence_id INTEGER PRIMARY KEY, person_id INTEGER, visit_start_date TEXT);
CREATE TABLE measurement (visit_occurrence_id INTEGER, measurement_concept_id INTEGER, value_as_number REAL);
CREATE TABLE condition_occurrence (visit_occurrence_id INTEGER, condition_concept_id INTEGER);
CREATE INDEX measured ON measurement (visit_occurrence_id);
CREATE INDEX diagnosed ON condition_occurrence (visit_occurrence_id);
"""


def make(hospital: Hospital) -> int:
    """Write the database, and where it is, into the hospital's own folder; returns how many stays it holds."""
    rng = hospital.rng
    file = hospital.home / "omop.sqlite"
    file.unlink(missing_ok=True)
    with sqlite3.connect(file) as database:
        database.executescript(TABLES)
        visits = 0
        for person in range(1, PERSONS + 1):
            septic = rng.random() < 0.4
            born = date(2020, 1, 1) - timedelta(
                days=int(np.clip(rng.normal(66 if septic else 60, 14), 18, 99) * 365.25)
            )
            sex = MALE if rng.random() < 0.55 else FEMALE
            database.execute("INSERT INTO person VALUES (?, ?, ?)", (person, sex, f"{born} 00:00:00"))
            for _stay in range(rng.integers(1, 3)):
                visits += 1
                admitted = date(2024, 1, 1) + timedelta(days=int(rng.integers(0, 700)))
                database.execute("INSERT INTO visit_occurrence VALUES (?, ?, ?)", (visits, person, str(admitted)))
                database.executemany("INSERT INTO measurement VALUES (?, ?, ?)", measured(visits, septic, rng))
                if septic:
                    database.execute("INSERT INTO condition_occurrence VALUES (?, ?)", (visits, SEPSIS))
    database.close()
    write_secret(hospital.home / DATABASE_URL, f"sqlite:///{file}\n".encode())
    return visits


def measured(visit: int, septic: bool, rng: np.random.Generator) -> list[tuple[int, int, float]]:
    """Rows of measurements of a stay: two of each kind, but for those that nobody took."""
    usual = {
        LACTATE: (rng.lognormal(np.log(2.9 if septic else 1.3), 0.4), 0.1, (0.3, 20)),
        HEART_RATE: (rng.normal(106 if septic else 84, 15), 4.0, (35, 210)),
        TEMPERATURE: (rng.normal(38.2 if septic else 37.1, 0.7), 0.2, (33, 42)),
    }
    return [
        (visit, concept, round(float(np.clip(rng.normal(value, spread), *limits)), 1))
        for concept, (value, spread, limits) in usual.items()
        if rng.random() > 0.08
        for _ in range(2)
    ]


if __name__ == "__main__":
    write_for_all(STUDY, "Make a database of intensive care for each of a demonstration's hospitals.", make)
