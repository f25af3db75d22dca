"""Who answers a question of the lake: DuckDB inside this process, or Spark, whose sorts and joins need no one machine.

Both are told the same: tables by name, views over them as SQL, one SELECT. The SQL is what both run, so it uses the
names of the SQL standard and of Spark, and none of DuckDB's own. What DuckDB lacks of these it is taught (`MACROS`):

    explode(list)           one row for each of a list's values
    btrim(text, blanks)     a text without these characters around it
    nfc(text)               a text in Unicode's normal form C (Spark is taught it too)
    unix_micros(time)       microseconds since the epoch
    timestamp_seconds(n)    a moment, from seconds since the epoch

Where a query does not say where NULLs come, they come first, and last under DESC. Go on to `query.py`, which asks.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from schemas.tables import TABLES
from streams.lake import spark
from streams.lake.layout import Lake
from streams.lake.rows import Rows
from streams.lake.spilled import folder_of

MEMORY = "512MB"
"""DuckDB spills to disk beyond this; the flows of one machine then run beside Kafka and Prefect."""
MACROS = {
    "explode(list)": "unnest(list)",
    "btrim(text, blanks)": "trim(text, blanks)",
    "nfc(text)": "nfc_normalize(text)",
    "unix_micros(time)": "epoch_us(time)",
    "timestamp_seconds(n)": "to_timestamp(n)",
}
"""Names that Spark has → the same in DuckDB."""
WITH = re.compile(r"(?:\s|--[^\n]*\n)*WITH\b", re.IGNORECASE)
"""How a SELECT with names of its own begins."""


class Session(Protocol):
    """The surroundings of one question: names are given their meaning, then it is asked. Nothing of it stays."""

    def put(self, name: str, rows: pa.Table) -> None:
        """Rows of the caller's under a name."""

    def files(self, name: str, lake: Lake, table: str, files: ds.Dataset) -> None:
        """Files of a table under a name, with all columns of its schema: null where the files lack one."""

    def view(self, name: str, sql: str) -> None:
        """What a SELECT gives, under a name."""

    def ask(self, sql: str, parameters: Mapping[str, Any]) -> Rows:
        """The answer to a SELECT, whose `$name` are parameters; to be read while the session is open."""


def session(lake: Lake) -> AbstractContextManager[Session]:
    """A session with the engine that the lake is asked by. Raises SettingsError where it is not at hand."""
    return spark.session(lake.engine) if lake.engine else duck()


@contextmanager
def duck() -> Iterator[Duck]:
    """A session with the DuckDB of this process."""
    with _database(os.getpid()).cursor() as connection:
        yield Duck(connection)


@functools.cache
def _database(process: int) -> duckdb.DuckDBPyConnection:  # noqa: ARG001 a fork shares none of its parent's threads
    """An empty database in memory, of which each question has a connection with temporary names of its own.

    Opening one costs 25 ms of CPU, a connection some microseconds. No name in a query means a variable of the program.
    """
    spills = folder_of(duck)  # DuckDB itself would take `.tmp` of whatever folder the command was called in
    database = duckdb.connect(
        config={"memory_limit": MEMORY, "python_enable_replacements": False, "temp_directory": spills}
    )
    database.execute("SET GLOBAL TimeZone = 'UTC'")
    database.execute("SET GLOBAL default_null_order = 'nulls_first_on_asc_last_on_desc'")
    for name, meaning in MACROS.items():
        database.execute(f"CREATE MACRO {name} AS {meaning}")
    return database


class Duck:
    """DuckDB as a session."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._views: dict[str, str] = {}

    def put(self, name: str, rows: pa.Table | ds.Dataset) -> None:
        """Rows of the caller's under a name."""
        self._connection.register(name, rows)

    def files(self, name: str, lake: Lake, table: str, files: ds.Dataset) -> None:  # noqa: ARG002 Spark asks where they lie
        """Files of a table under a name, with all columns of its schema."""
        missing = [field for field in TABLES[table].schema if field.name not in files.schema.names]
        if not missing:
            self._connection.register(name, files)
            return
        self._connection.register(f"bare_{name}", files)
        more = [f"CAST(NULL AS {_sql_type(field)}) AS {field.name}" for field in missing]
        self.view(name, f"SELECT {', '.join(['*', *more])} FROM bare_{name}")  # noqa: S608 names are ours

    def view(self, name: str, sql: str) -> None:
        """What a SELECT gives, under a name."""
        self._views[name] = sql

    def ask(self, sql: str, parameters: Mapping[str, Any]) -> Rows:
        """The answer to a SELECT, in one statement with its views: as objects they would be bound once more each."""
        views = ", ".join(f"{name} AS NOT MATERIALIZED ({text}\n)" for name, text in self._views.items())
        own = WITH.match(sql)
        text = f"WITH {views}{',' if own else ''} {sql[own.end() if own else 0 :]}" if views else sql
        return Rows(self._connection.sql(text, params=dict(parameters)).to_arrow_reader)


def _sql_type(field: pa.Field) -> str:
    names = {pa.int32(): "INTEGER", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN"}
    return names.get(field.type, "VARCHAR[]" if pa.types.is_list(field.type) else "VARCHAR")
