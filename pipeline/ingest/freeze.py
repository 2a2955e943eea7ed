"""A hospital's records from its own database: what its query returns, frozen into a Parquet file before each round.

The query is a file of the hospital's own, so that nobody else's SQL runs on its database, and lies beside the file that
it makes: both are one version of the records. Where the database is, and by which password, says a secret file.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.datasets import Dataset
from pipeline.datasets.own_table import OwnTable
from pipeline.datasets.records import records_folder, shielded
from pipeline.datasets.table_files import PARQUET
from pipeline.errors import FileRejected, Misconfigured, Unavailable
from pipeline.host.files import write_secret
from pipeline.host.secret import Secret

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow
    from sqlalchemy import Connection, Engine

DATABASE_URL = "database-url"
"""In a hospital's private folder: the address of its database as SQLAlchemy takes it, readable by its owner only."""

_READ_ONLY: Mapping[str, str] = {"postgresql": "SET TRANSACTION READ ONLY", "sqlite": "PRAGMA query_only = ON"}
"""What keeps a query from writing, where a database has it beside the rights of its user."""

_EXAMPLE = "postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE"


@dataclass(frozen=True)
class Frozen:
    """What a query returned."""

    query: Path
    file: Path
    rows: int


def freeze(home: Path, dataset: Dataset) -> Frozen | None:
    """Ask a hospital's database by its own query, and write what it returns beside the query; None where it has none.

    Equal rows make equal bytes, in whatever order the database gives them. Raises DataRejected where the query fails,
    with nothing that the database says of it; Misconfigured for a wrong address; Unavailable where nothing answers.
    """
    if not isinstance(dataset, OwnTable) or dataset.query is None:
        return None
    query = records_folder(home, dataset.name) / dataset.query
    if not query.is_file():
        return None
    frame = _answer(home, query)
    table = shielded(home.name, f"{query.name} returns a table", lambda: _table(frame, query.name))
    file = query.with_name(PARQUET)
    data = _bytes(table)
    if not file.exists() or file.read_bytes() != data:
        write_secret(file, data)
    return Frozen(query, file, len(frame))


def _answer(home: Path, query: Path) -> pd.DataFrame:
    engine = _engine(home, query)
    try:
        connection = _connected(engine)
        if connection is None:
            raise Unavailable(
                f"{home.name}: the database of {query.name} does not answer or lets nobody in; does it run, and does"
                f" {home / DATABASE_URL} name it, with its user and password?"
            )
        with connection:
            return shielded(home.name, f"{query.name} is answered", lambda: _rows(connection, query.read_text()))
    finally:
        engine.dispose()


def _engine(home: Path, query: Path) -> Engine:
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    path = home / DATABASE_URL
    if not path.exists():
        raise Misconfigured(
            f"{path}: got no file, want the address of the database that {query.name} asks, such as {_EXAMPLE}; write"
            " it there for your own eyes (chmod 600)"
        )
    # What is raised here can quote the address, and is let go before we raise.
    driver = None
    try:
        url = sqlalchemy.make_url(Secret.read(path).text().strip())
        driver = url.drivername
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, hide_parameters=True)
    except (SQLAlchemyError, ImportError, ValueError, TypeError):
        pass
    what = f"an address of {driver}, whose driver is not installed or refuses it" if driver else "no address"
    raise Misconfigured(f"{path}: got {what}, want one such as {_EXAMPLE}")


def _connected(engine: Engine) -> Connection | None:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return engine.connect()
    except SQLAlchemyError:
        return None


def _rows(connection: Connection, sql: str) -> pd.DataFrame:
    import pandas as pd

    if connection.dialect.name in _READ_ONLY:
        connection.exec_driver_sql(_READ_ONLY[connection.dialect.name])
    # The text as it stands: a colon or a percent sign in it is no parameter.
    return pd.read_sql_query(sql, connection.execution_options(no_parameters=True))


def _table(frame: pd.DataFrame, query: str) -> pyarrow.Table:
    import pyarrow

    if frame.columns.has_duplicates:
        raise FileRejected(f"{query}: got two columns of one name, want every name once")
    if "record_id" in frame:
        frame = frame.sort_values("record_id", key=lambda cells: cells.astype(str), kind="stable")
    return pyarrow.table({str(name): _cells(frame[name]) for name in frame.columns})


def _cells(cells: pd.Series[Any]) -> pyarrow.Array:
    import pyarrow

    try:
        return pyarrow.array(cells, from_pandas=True)
    except pyarrow.ArrowException:  # SQLite has cells of several types in a column
        return pyarrow.array(cells.map(str, na_action="ignore"), from_pandas=True, type=pyarrow.string())


def _bytes(table: pyarrow.Table) -> bytes:
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()
