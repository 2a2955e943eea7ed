"""Records that a hospital's own query makes, on a real PostgreSQL and on SQLite, by the lines of the page on it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy
import yaml
from typer.testing import CliRunner

from pipeline.airflow import postgres
from pipeline.cli import commands
from pipeline.datasets.records import read, records_folder
from pipeline.datasets.table_files import PARQUET
from pipeline.errors import DataRejected, Misconfigured, Unavailable
from pipeline.host.files import write_secret
from pipeline.host.secret import Secret
from pipeline.ingest.explain import inspect
from pipeline.ingest.freeze import DATABASE_URL, freeze
from pipeline.ingest.versioning import version
from pipeline.services import services
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study
from tests.support.hub import until
from tests.support.installations import settings_in

CANARY = "CANARY-4711"
PAGE = (PROJECT / "docs" / "how-to" / "use-a-database.md").read_text()
(TABLE,) = re.findall(r"```yaml\n(table:\n  query:.*?)```", PAGE, re.S)
(QUERY,) = re.findall(r"```sql\n(.*?)```", PAGE, re.S)

STUDY: dict[str, Any] = {
    "title": "Sepsis of an OMOP database",
    "hospitals": ["aster", "birch", "cedar"],
    "nodes": ["north", "east", "west"],
    "engine": "spu",
    "protocol": "aby3",
    "model": [{"Linear": {"out_features": 2}}],
    "table": {**yaml.safe_load(TABLE)["table"], "scale": "range"},
}
STAYS = 80


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with nothing in it."""
    settings = settings_in(tmp_path_factory.mktemp("postgresql"))
    postgres.prepare(settings)
    program = services.database(settings)
    process = subprocess.Popen(program.command, env={**os.environ, **program.environment})
    until(lambda: postgres.trouble(settings) is None, 60, "PostgreSQL")
    yield Secret.read(postgres.url_file(settings)).text()
    process.send_signal(signal.Signals[f"SIG{program.stop_signal}"])
    assert process.wait(timeout=60) == 0


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with the tables of OMOP that the page's query reads."""
    address = (
        f"sqlite:///{tmp_path / 'omop.sqlite'}"
        if request.param == "sqlite"
        else str(request.getfixturevalue("postgresql"))
    )
    people = range(1, STAYS // 2 + 1)
    stays = range(1, STAYS + 1)
    of_stay = {"visit_occurrence_id": list(stays)}
    tables = {
        "person": pd.DataFrame(
            {
                "person_id": people,
                "gender_concept_id": [(8507, 8532, 0)[person % 3] for person in people],
                "birth_datetime": [pd.Timestamp(1950 + person, 5, 1) for person in people],
            }
        ),
        "visit_occurrence": pd.DataFrame(
            {
                **of_stay,
                "person_id": [(stay + 1) // 2 for stay in stays],
                "visit_start_date": [pd.Timestamp(2026, 1, 1 + stay % 28).date() for stay in stays],
            }
        ),
        "measurement": pd.DataFrame(
            {**of_stay, "measurement_concept_id": 3047181, "value_as_number": [stay % 9 + 0.5 for stay in stays]}
        ),
        "condition_occurrence": pd.DataFrame(
            {**of_stay, "condition_concept_id": [132797 * (stay % 2) for stay in stays]}
        ),
    }
    engine = sqlalchemy.create_engine(address)
    types = {"value_as_number": sqlalchemy.Numeric(8, 2)}
    for name, frame in tables.items():
        # A month of measurements is lacking.
        frame[frame.index % 5 > 0 if name == "measurement" else slice(None)].to_sql(
            name,
            engine,
            index=False,
            if_exists="replace",
            dtype={column: kind for column, kind in types.items() if column in frame},
        )
    engine.dispose()
    return address


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    (tmp_path / "studies").mkdir()
    file = tmp_path / "studies" / "sepsis.yaml"
    file.write_text(yaml.safe_dump(STUDY))
    monkeypatch.setenv("WARDROUND_STUDIES", str(file.parent))
    monkeypatch.setenv("WARDROUND_HOME", str(tmp_path))
    return Study.load(file)


def hospital(folder: Path, address: str, query: str = QUERY) -> Path:
    home = folder / "hospitals" / "aster"
    records = records_folder(home, "sepsis")
    records.mkdir(parents=True, exist_ok=True)
    (records / "sepsis.sql").write_text(query)
    write_secret(home / DATABASE_URL, f"{address}\n".encode())
    write_secret(home / "sharing-secret", b"m" * 32)
    return home


def test_an_omop_database_is_the_records_of_a_round(database: str, study: Study, tmp_path: Path) -> None:
    home = hospital(tmp_path, database)
    frozen = freeze(home, study.source)
    assert frozen is not None
    assert (frozen.rows, frozen.file.stat().st_mode & 0o077) == (STAYS, 0)
    inspection = inspect(frozen.file.parent, study)
    assert (inspection.failures, inspection.rows) == ({}, STAYS)
    split = read(home, study.source)
    assert split.train.inputs.shape[1] == 5
    assert split.train.patients is not None
    assert split.test.patients is not None
    assert len({*split.train.patients, *split.test.patients}) == STAYS // 2
    first = pd.read_parquet(frozen.file).set_index("record_id").sort_index()
    assert first.loc[2, ["sex", "label"]].tolist() == ["F", "recovered"]
    assert float(first.loc[2, "lactate"]) == 2.5
    assert first["sex"].isna().sum() == 26
    assert first["lactate"].isna().sum() == STAYS // 5
    stay = study.source.frame(frozen.file.parent).set_index("record_id").loc["2", "admitted"]
    assert stay == (pd.Timestamp("2026-01-03") - pd.Timestamp("1951-05-01")).days


def test_equal_rows_in_another_order_are_the_same_version(database: str, study: Study, tmp_path: Path) -> None:
    home = hospital(tmp_path, database)
    freeze(home, study.source)
    before = version(home, "sepsis")
    file = records_folder(home, "sepsis") / PARQUET
    frozen = file.stat().st_mtime_ns
    shuffled = sqlalchemy.create_engine(database)
    with shuffled.begin() as connection:
        rows = pd.read_sql_query("SELECT * FROM visit_occurrence", connection)
        rows.iloc[::-1].to_sql("visit_occurrence", connection, index=False, if_exists="replace")
    freeze(home, study.source)
    assert (version(home, "sepsis"), file.stat().st_mtime_ns) == (before, frozen)
    with shuffled.begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM visit_occurrence WHERE visit_occurrence_id = 7"))
    shuffled.dispose()
    assert freeze(home, study.source) is not None
    assert version(home, "sepsis") != before


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (
            "SELECT 'CANARY-4711' FROM nowhere",
            r"aster: .*sepsis\.sql is answered \((Operational|Programming|Database)Error\)",
        ),
        ("DELETE FROM person", r"sepsis\.sql is answered \((Operational|Programming|Internal|Database)Error\)"),
        (
            f"SELECT '{CANARY}' AS record_id, 1 AS age, 2 AS age",
            r"sepsis\.sql returns a table: sepsis\.sql: got two columns of one name",
        ),
        ("", r"sepsis\.sql is answered"),
    ],
    ids=["wrong", "writing", "twice", "empty"],
)
def test_a_query_that_fails_is_refused_without_a_word_of_the_database(
    query: str, says: str, database: str, study: Study, tmp_path: Path
) -> None:
    home = hospital(tmp_path, database, query)
    with pytest.raises(DataRejected, match=says) as caught:
        freeze(home, study.source)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
    engine = sqlalchemy.create_engine(database)
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT COUNT(*) FROM person")).scalar() == STAYS // 2
    engine.dispose()


def test_a_percent_sign_and_a_colon_in_a_query_are_no_parameters(database: str, study: Study, tmp_path: Path) -> None:
    query = (
        "SELECT visit_occurrence_id AS record_id, ':x' AS a FROM visit_occurrence WHERE 'ab' LIKE 'a%' AND 7 % 2 = 1"
    )
    frozen = freeze(hospital(tmp_path, database, query), study.source)
    assert frozen is not None
    assert set(pd.read_parquet(frozen.file)["a"]) == {":x"}


@pytest.mark.parametrize(
    ("address", "error", "says"),
    [
        (f"postgresql+psycopg2://u:{CANARY}@/x?host=/nowhere", Unavailable, "does not answer or lets nobody in"),
        (f"{CANARY} is no address", Misconfigured, "got no address, want one such as postgresql"),
        (f"oracle+oracledb://u:{CANARY}@host/x", Misconfigured, "an address of oracle.oracledb, whose driver is not"),
        (f"nothing://u:{CANARY}@host/x", Misconfigured, "an address of nothing, whose driver is not installed"),
    ],
)
def test_a_database_that_nobody_reaches_is_named_without_its_address(
    address: str, error: type[Exception], says: str, study: Study, tmp_path: Path
) -> None:
    home = hospital(tmp_path, address)
    with pytest.raises(error, match=says) as caught:
        freeze(home, study.source)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_an_address_that_others_may_read_is_refused(study: Study, tmp_path: Path) -> None:
    home = hospital(tmp_path, f"sqlite:///{CANARY}")
    (home / DATABASE_URL).chmod(0o644)
    with pytest.raises(Misconfigured, match=r"database-url: got mode 644, want 600"):
        freeze(home, study.source)
    (home / DATABASE_URL).unlink()
    with pytest.raises(Misconfigured, match=r"database-url: got no file, want the address of the database that sepsis"):
        freeze(home, study.source)


def test_cells_of_several_types_are_texts(study: Study, tmp_path: Path) -> None:
    """SQLite keeps what it is given: a column of numbers may hold a word."""
    address = f"sqlite:///{tmp_path / 'loose.sqlite'}"
    engine = sqlalchemy.create_engine(address)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE labs (record_id, lactate)"))
        connection.execute(sqlalchemy.text("INSERT INTO labs VALUES (1, 2.5), (2, 'NA'), (3, NULL)"))
    engine.dispose()
    frozen = freeze(hospital(tmp_path, address, "SELECT * FROM labs"), study.source)
    assert frozen is not None
    assert pd.read_parquet(frozen.file)["lactate"].tolist()[:2] == ["2.5", "NA"]


def test_a_query_that_was_not_asked_yet_is_said_by_the_check(study: Study, tmp_path: Path) -> None:
    home = hospital(tmp_path, "sqlite://")
    with pytest.raises(DataRejected, match=r"want one of them; `wardround data freeze` asks the query for it"):
        inspect(records_folder(home, "sepsis"), study)


def test_a_hospital_without_a_query_keeps_its_table(study: Study, tmp_path: Path) -> None:
    home = tmp_path / "hospitals" / "birch"
    assert freeze(home, study.source) is None
    assert freeze(home, Study.load(PROJECT / "studies" / "breast_cancer.yaml").source) is None


def test_the_command_says_how_many_rows_are_kept_and_never_the_address(study: Study, tmp_path: Path) -> None:
    home = hospital(tmp_path, "sqlite://", f"SELECT 'p1' AS record_id, '{CANARY}' AS sex")
    done = CliRunner().invoke(commands, ["data", "freeze", "sepsis", "--as", "aster"])
    assert (done.exit_code, done.stdout) == (
        0,
        f"1 row of sepsis.sql kept in {records_folder(home, 'sepsis') / PARQUET}\n",
    )
    done = CliRunner().invoke(commands, ["data", "freeze", "sepsis", "--as", "birch"])
    assert isinstance(done.exception, Misconfigured)
    assert "sepsis: got no query, want sepsis.sql in" in str(done.exception)
