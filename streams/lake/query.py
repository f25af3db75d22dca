"""Queries of the lake as of a version: the only place that runs SQL.

SQL lies in `.sql` files beside the stage that asks, in the subset that Spark understands too. What its names mean:

    interactions, feedback, …        a raw table, each event once: of the same id the first to arrive
    outcomes, clusters, …            a derived table, rows of finished runs (those that `runs` has)
    stored_<name>                    a table as it lies there: doubles, unfinished runs and all
    <any>.unit                       the user where known, else the conversation (`schemas/unit.py`)
    forgotten                        who asked to be forgotten, until when            (`forgotten.sql`)
    forgotten_interactions           the interactions that this forgets, by id        (`forgotten_interactions.sql`)
    standing_feedback                feedback that nobody took back or asked to forget (`standing_feedback.sql`)
    kinds                            what each kind of feedback says                  (`schemas/kinds.py`)

Go on to `layout.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from schemas.kinds import KINDS
from schemas.tables import TABLES
from streams.lake.layout import Lake, dataset_of

MEMORY = "4GB"
"""DuckDB spills to disk beyond this; the flows of one machine then run beside Kafka and Prefect."""
UNIT = "coalesce('user:' || nullif(user_id, ''), 'conversation:' || conversation_id)"
"""`schemas.unit.unit_of` as SQL; a test holds the two together."""
UNTIL = {"accept": "max(time)", "refuse": "max(CAST('9999-12-31 00:00:00+00' AS TIMESTAMP WITH TIME ZONE))"}
"""How long an erasure forgets, by `archive.after_erasure`."""
VIEWS = {
    "forgotten": ("erasures",),
    "forgotten_interactions": ("interactions", "erasures"),
    "standing_feedback": ("feedback", "interactions", "erasures"),
}
"""View → the tables that it needs; each is the SQL file of its name, and may use those before it."""


def read(lake: Lake, name: str, version: int | None = None) -> pa.Table:
    """A whole table as of a version, rows as stored; empty (with the right schema) where it does not exist."""
    return _scan(lake, name, version, {})


def rows(lake: Lake, name: str, version: int | None = None, **equals: Any) -> list[dict[str, Any]]:
    """The rows of a table whose columns have these values (or one of them, where a collection is given).

    The files' own statistics leave out what cannot match. Each raw event comes once, by identity; of derived tables the
    rows of finished runs, as they lie there. `version` is the table's; a run is finished where it is so by now.
    """
    table = TABLES[name]
    if table.raw:
        return _raw_rows(lake, name, version, equals)
    found = _scan(lake, name, version, equals)
    if table.of_run:
        runs = equals.get("run_id", pc.unique(found["run_id"]).to_pylist())
        finished = _scan(lake, "runs", None, {"run_id": runs})["run_id"]
        found = found.filter(pc.is_in(found["run_id"], finished))
    return list(found.to_pylist())


def stored_rows(lake: Lake, name: str, **equals: Any) -> list[dict[str, Any]]:
    """`rows` as they lie there: doubles, unfinished runs and all."""
    return list(_scan(lake, name, None, equals).to_pylist())


def query(
    lake: Lake,
    sql: str,
    versions: Mapping[str, int],
    parameters: Mapping[str, Any] | None = None,
    *,
    after_erasure: Literal["accept", "refuse"] | None = None,
    tables: Mapping[str, pa.Table] | None = None,
) -> pa.Table:
    """Run one SELECT over the named tables as of the given versions (-1: an empty table).

    `parameters` fill `$name` placeholders; values are never spliced into the text. What is forgotten depends on the
    setting `archive.after_erasure`: the views that ask for it are there where it is given. `tables` are put beside the
    lake's, or in a view's place.
    """
    with duckdb.connect(config={"memory_limit": MEMORY}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if any(TABLES[name].of_run for name in versions):  # first, since the others look into it
            versions = {"runs": lake.version("runs"), **versions}
        for name, version in versions.items():
            _register(connection, lake, name, version)
        for name, table in (tables or {}).items():
            connection.register(name, table)
        if after_erasure:
            connection.register("kinds", _kinds())
            for name, needed in VIEWS.items():
                if name not in (tables or {}) and set(needed) <= versions.keys():
                    text = Path(__file__).with_name(f"{name}.sql").read_text()
                    connection.execute(f"CREATE VIEW {name} AS {text.replace('{until}', UNTIL[after_erasure])}")
        return connection.sql(sql, params=dict(parameters or {})).to_arrow_table()


def _kinds() -> pa.Table:
    """`schemas.kinds.KINDS` as a table."""
    return pa.Table.from_pylist([{"kind": kind, **msgspec.structs.asdict(what)} for kind, what in KINDS.items()])


def _raw_rows(lake: Lake, name: str, version: int | None, equals: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`rows` of a raw table: which copy of an event is the first is asked of all of them, so SQL does it."""
    wanted = {f"p{n}": [value] if _is_one(value) else sorted(value) for n, value in enumerate(equals.values())}
    tests = [f"list_contains(${p}, {column})" for p, column in zip(wanted, equals, strict=True)]
    order = ", ".join(f"{column} NULLS LAST" for column in TABLES[name].identity)
    sql = f"SELECT * FROM {name} WHERE {' AND '.join(['TRUE', *tests])} ORDER BY {order}"  # noqa: S608 names are ours
    at = lake.version(name) if version is None else version
    return list(query(lake, sql, {name: at}, wanted).select(TABLES[name].schema.names).to_pylist())


def _scan(lake: Lake, name: str, version: int | None, equals: Mapping[str, Any]) -> pa.Table:
    """The stored rows with these values, in the schema's order and types."""
    schema = TABLES[name].schema
    if version == -1 or not lake.exists(name):
        return schema.empty_table()
    dataset = dataset_of(lake.open(name, version))
    if not equals.keys() <= set(dataset.schema.names):  # a column that no stored row has yet
        return schema.empty_table()
    which: pc.Expression | None = None
    for column, value in equals.items():
        values = pa.array([value] if _is_one(value) else list(value), schema.field(column).type)
        test = pc.field(column).isin(values)
        which = test if which is None else which & test
    return _conform(dataset.to_table(filter=which), schema)


def _is_one(value: Any) -> bool:
    return isinstance(value, str) or not isinstance(value, Collection)


def _register(connection: duckdb.DuckDBPyConnection, lake: Lake, name: str, version: int) -> None:
    """`stored_<name>`, with every column of the schema and the unit; and `<name>`, what of it readers are to see."""
    table = TABLES[name]
    files = table.schema.empty_table() if version == -1 else dataset_of(lake.open(name, version))
    connection.register(f"files_{name}", files)
    missing = [field for field in table.schema if field.name not in files.schema.names]
    more = [f"CAST(NULL AS {_sql_type(field)}) AS {field.name}" for field in missing]
    if unit := _unit(table.schema):
        more.append(f"{unit} AS unit")
    connection.execute(f"CREATE VIEW stored_{name} AS SELECT {', '.join(['*', *more])} FROM files_{name}")  # noqa: S608 names are ours
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM stored_{name}{_visible(name)}")  # noqa: S608 names are ours


def _visible(name: str) -> str:
    """Which stored rows of a table readers are to see, as the rest of a SELECT."""
    table = TABLES[name]
    if table.of_run:
        return " WHERE run_id IN (SELECT run_id FROM stored_runs)"
    if not table.raw:
        return ""
    place = "coalesce(kafka_topic_id, ''), kafka_partition, kafka_offset"
    return (
        f" WHERE ({place}) IN (SELECT (topic, part, place) FROM ("  # noqa: S608 names are ours
        f"SELECT coalesce(kafka_topic_id, '') AS topic, kafka_partition AS part, kafka_offset AS place, row_number() "
        f"OVER (PARTITION BY {', '.join(table.identity)} ORDER BY ingested_at, {place}) AS copy "
        f"FROM stored_{name}) WHERE copy = 1)"
    )


def _unit(schema: pa.Schema) -> str:
    """The unit of a table's rows as SQL; empty where they have none."""
    if {"user_id", "conversation_id"} <= set(schema.names):
        return UNIT
    return "'user:' || subject" if "subject" in schema.names else ""


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
