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

MEMORY = "1GB"
"""DuckDB spills to disk beyond this; the flows of one machine then run beside Kafka and Prefect."""
MACROS = {
    "explode(list)": "unnest(list)",
    "btrim(text, blanks)": "trim(text, blanks)",
    "nfc(text)": "nfc_normalize(text)",
    "unix_micros(time)": "epoch_us(time)",
    "timestamp_seconds(n)": "to_timestamp(n)",
}
"""Names that Spark has → the same in DuckDB."""


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
def duck() -> Iterator[Session]:
    """A session with an embedded DuckDB."""
    with duckdb.connect(config={"memory_limit": MEMORY}) as connection:
        yield Duck(connection)


class Duck:
    """DuckDB as a session."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        connection.execute("SET TimeZone = 'UTC'; SET default_null_order = 'nulls_first_on_asc_last_on_desc'")
        for name, meaning in MACROS.items():
            connection.execute(f"CREATE MACRO {name} AS {meaning}")

    def put(self, name: str, rows: pa.Table) -> None:
        """Rows of the caller's under a name."""
        self._connection.register(name, rows)

    def files(self, name: str, lake: Lake, table: str, files: ds.Dataset) -> None:  # noqa: ARG002 Spark asks where they lie
        """Files of a table under a name, with all columns of its schema."""
        self._connection.register(f"bare_{name}", files)
        missing = [field for field in TABLES[table].schema if field.name not in files.schema.names]
        more = [f"CAST(NULL AS {_sql_type(field)}) AS {field.name}" for field in missing]
        self.view(name, f"SELECT {', '.join(['*', *more])} FROM bare_{name}")  # noqa: S608 names are ours

    def view(self, name: str, sql: str) -> None:
        """What a SELECT gives, under a name."""
        self._connection.execute(f"CREATE VIEW {name} AS {sql}")

    def ask(self, sql: str, parameters: Mapping[str, Any]) -> Rows:
        """The answer to a SELECT."""
        return Rows(self._connection.sql(sql, params=dict(parameters)).to_arrow_reader)


def _sql_type(field: pa.Field) -> str:
    names = {pa.int32(): "INTEGER", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN"}
    return names.get(field.type, "VARCHAR[]" if pa.types.is_list(field.type) else "VARCHAR")
