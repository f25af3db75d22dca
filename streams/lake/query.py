"""Questions to the lake, as of a version: the only place that runs SQL.

SQL lies in `.sql` files beside the stage that asks, in the subset that Spark understands too. In a query, a raw table's
name means each event once: the same id twice is one event, and the first to arrive is kept. `stored_<name>` is the
table as it lies there, doubles and all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from schemas.tables import TABLES
from streams.lake.layout import Lake

MEMORY = "4GB"
"""DuckDB spills to disk beyond this; the flows of one machine then run beside Kafka and Prefect."""


def read(lake: Lake, name: str, version: int | None = None) -> pa.Table:
    """A whole table as of a version, rows as stored; empty (with the right schema) where it does not exist."""
    schema = TABLES[name].schema
    if version == -1 or not lake.exists(name):
        return schema.empty_table()
    table = _dataset(lake.open(name, version)).to_table()
    return _conform(table, schema)


def query(lake: Lake, sql: str, versions: Mapping[str, int], parameters: Mapping[str, Any] | None = None) -> pa.Table:
    """Run one SELECT over the named tables as of the given versions (-1: an empty table).

    `parameters` fill `$name` placeholders; values are never spliced into the text.
    """
    with duckdb.connect(config={"memory_limit": MEMORY}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, version in versions.items():
            _register(connection, lake, name, version)
        return connection.sql(sql, params=dict(parameters or {})).to_arrow_table()


def _dataset(handle: DeltaTable) -> ds.Dataset:
    """The table's files without the bounds that Delta's log gives for whole files.

    Columns that carry no statistics get the bound `column >= null` there, and Arrow then skips every file on which such
    a column is filtered: an empty answer instead of an error. Row groups keep their own statistics, so little is lost.
    """
    full = handle.to_pyarrow_dataset()
    partitions = handle.metadata().partition_columns
    keys = ds.partitioning(pa.schema([full.schema.field(name) for name in partitions]), flavor="hive")
    fragments = [
        full.format.make_fragment(part.path, part.filesystem, partition_expression=keys.parse(part.path))
        for part in full.get_fragments()
    ]
    return ds.FileSystemDataset(fragments, full.schema, full.format, full.filesystem)


def _register(connection: duckdb.DuckDBPyConnection, lake: Lake, name: str, version: int) -> None:
    table = TABLES[name]
    stored = f"stored_{name}"
    if version == -1:
        connection.register(name, table.schema.empty_table())
        connection.register(stored, table.schema.empty_table())
        return
    connection.register(stored, _dataset(lake.open(name, version)))
    missing = [field for field in table.schema if field.name not in connection.table(stored).columns]
    added = "".join(f", CAST(NULL AS {_sql_type(field)}) AS {field.name}" for field in missing)
    if not table.raw:
        connection.execute(f"CREATE VIEW {name} AS SELECT *{added} FROM {stored}")  # noqa: S608 names are ours
        return
    keys = ", ".join(table.identity)
    place = "coalesce(kafka_topic_id, ''), kafka_partition, kafka_offset"
    with_id = f"(SELECT *{added} FROM {stored})"  # noqa: S608 names are ours
    connection.execute(
        f"CREATE VIEW {name} AS SELECT * FROM {with_id} WHERE ({place}) IN (SELECT (topic, part, place) FROM ("  # noqa: S608
        f"SELECT coalesce(kafka_topic_id, '') AS topic, kafka_partition AS part, kafka_offset AS place, row_number() "
        f"OVER (PARTITION BY {keys} ORDER BY ingested_at, {place}) AS copy FROM {with_id}) WHERE copy = 1)"
    )


def _sql_type(field: pa.Field) -> str:
    names = {pa.int32(): "INTEGER", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN"}
    return names.get(field.type, "VARCHAR")


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Columns in the schema's order and types; a column that the stored table lacks is null."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, names=schema.names)
