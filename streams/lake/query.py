"""Queries of the lake as of a version: the only place that runs SQL.

SQL lies in `.sql` files beside the stage that asks, as both engines understand it (`engine.py`). What its names mean:

    interactions, feedback, …        a raw table, each event once: of the same id the first to arrive
    clusters, cluster_members, …     a derived table, rows of finished runs (those that `runs` has)
    outcomes                         the newest of each interaction                  (`newest_outcomes.sql`)
    voices                           what was said together, by now                  (`newest_voices.sql`)
    stored_<name>                    a table as it lies there: doubles, unfinished runs and all
    <any>.unit                       the user where known, else the conversation (`schemas/unit.py`)
    forgotten                        who asked to be forgotten, until when            (`forgotten.sql`)
    forgotten_interactions           the interactions that this forgets, by id        (`forgotten_interactions.sql`)
    standing_feedback                feedback that nobody took back or asked to forget (`standing_feedback.sql`)
    kinds                            what each kind of feedback says                  (`schemas/kinds.py`)

Go on to `layout.py`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from schemas.kinds import KINDS
from schemas.tables import TABLES
from schemas.unit import BLANKS
from streams.lake.engine import Session, session
from streams.lake.layout import DAY, Lake, dataset_of
from streams.lake.parts import Part
from streams.lake.rows import Rows, Work


def _spelled(column: str) -> str:
    """`schemas.unit.spelled` as SQL; `trim` of many kinds of space is slow, and few names need it."""
    ends = f"ascii({column}) BETWEEN 33 AND 126 AND ascii(right({column}, 1)) BETWEEN 33 AND 126"
    plain = f"nfc(CASE WHEN {ends} THEN {column} ELSE btrim(nfc({column}), '{BLANKS}') END)"
    return f"CASE WHEN contains({column}, chr(0)) THEN btrim({column}, '{BLANKS}') ELSE {plain} END"


UNIT = f"coalesce('user:' || nullif({_spelled('user_id')}, ''), 'conversation:' || {_spelled('conversation_id')})"
"""`schemas.unit.unit_of` as SQL; a test holds the two together."""
UNTIL = {"accept": "max(time)", "refuse": "max(timestamp_seconds(253402214400))"}
"""How long an erasure forgets, by `archive.after_erasure`; the number is the last day of the year 9999."""
VIEWS = {
    "forgotten": ("erasures",),
    "forgotten_interactions": ("interactions", "erasures"),
    "standing_feedback": ("feedback", "interactions", "erasures"),
}
"""View → the tables that it needs; each is the SQL file of its name, and may use those before it."""
FEW = 1_000
"""Rows that are worked on in this process, whoever is asked: any job of Spark's takes some seconds."""
WORD = re.compile(r"\w+")
NEEDS = {"outcomes": ("runs", "voices"), "voices": ("runs",)}
"""Derived tables of which readers see the newest (`newest_<name>.sql`), and the tables that their view looks into."""


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
    parts: Mapping[str, Part] | None = None,
    finished: pa.Table | None = None,
) -> pa.Table:
    """Run one SELECT over the named tables as of the given versions (-1: an empty table).

    `parameters` fill `$name` placeholders; values are never spliced into the text. What is forgotten depends on the
    setting `archive.after_erasure`: the views that ask for it are there where it is given. `tables` are put beside the
    lake's, or in a view's place. Of a table in `parts` only that part is seen. `finished` are rows of `runs` that count
    as finished already: a run's own, which reads what it has written.
    """
    with ask(
        lake, sql, versions, parameters, after_erasure=after_erasure, tables=tables, parts=parts, finished=finished
    ) as answer:
        return answer.table()


@contextmanager
def ask(
    lake: Lake,
    sql: str,
    versions: Mapping[str, int],
    parameters: Mapping[str, Any] | None = None,
    *,
    after_erasure: Literal["accept", "refuse"] | None = None,
    tables: Mapping[str, pa.Table] | None = None,
    parts: Mapping[str, Part] | None = None,
    finished: pa.Table | None = None,
) -> Iterator[Rows]:
    """`query`, whose answer need not fit into memory: it streams in batches while the context is open."""
    given = {"finishing": TABLES["runs"].schema.empty_table() if finished is None else finished, **(tables or {})}
    views: dict[str, str] = {}
    for name in _ordered(versions):
        views |= _views(name, (parts or {}).get(name))
    if after_erasure:
        given["kinds"] = _kinds()
        known = [name for name, needed in VIEWS.items() if set(needed) <= versions.keys()]
        views |= {name: _view(name).replace("{until}", UNTIL[after_erasure]) for name in known}
    views = {name: text for name, text in views.items() if name not in given}
    meant = _meant(sql, views)
    with session(lake) as engine:
        for name in sorted(meant & given.keys()):
            engine.put(name, given[name])
        for name in (table for table in TABLES if f"files_{table}" in meant):
            _put_files(engine, lake, name, versions.get(name), (parts or {}).get(name))
        for name in (view for view in views if view in meant):
            engine.view(name, views[name])
        yield engine.ask(sql, parameters or {})


@contextmanager
def worked(lake: Lake, given: pa.Table, work: Work) -> Iterator[Rows]:
    """What a work makes of rows of the caller's, in their order: in Spark's workers where Spark is asked, else here."""
    if lake.engine and len(given) >= FEW:
        with session(lake) as engine:
            engine.put("given", given)
            yield engine.ask("SELECT * FROM given", {}).map(work)
    else:
        yield Rows(lambda size: pa.RecordBatchReader.from_batches(given.schema, given.to_batches(size))).map(work)


def _ordered(versions: Mapping[str, int]) -> list[str]:
    """The tables and those that their views look into, which come first."""
    needed = {other for name in versions for other in NEEDS.get(name, ("runs",) if TABLES[name].of_run else ())}
    order = {name: at for at, name in enumerate(("runs", "voices", "outcomes"))}
    return sorted(needed | versions.keys(), key=lambda name: (order.get(name, len(order)), name))


def _meant(sql: str, views: Mapping[str, str]) -> set[str]:
    """The words of a query, and of the views among them: nothing else needs to be given a meaning."""
    meant: set[str] = set()
    texts = [sql]
    while texts:
        new = set(WORD.findall(texts.pop().lower())) - meant
        texts += [views[word] for word in new if word in views]
        meant |= new
    return meant


def _kinds() -> pa.Table:
    """`schemas.kinds.KINDS` as a table."""
    return pa.Table.from_pylist([{"kind": kind, **msgspec.structs.asdict(what)} for kind, what in KINDS.items()])


def _raw_rows(lake: Lake, name: str, version: int | None, equals: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`rows` of a raw table: which copy of an event is the first is asked of all of them, so SQL does it."""
    wanted = {f"p{n}": sorted(_values(value)) for n, value in enumerate(equals.values())}
    tests = [f"{column} IN (SELECT explode(${p}))" for p, column in zip(wanted, equals, strict=True)]
    order = ", ".join(f"{column} NULLS LAST" for column in TABLES[name].identity)
    sql = f"SELECT * FROM {name} WHERE {' AND '.join(['TRUE', *tests])} ORDER BY {order}"  # noqa: S608 names are ours
    at = lake.version(name) if version is None else version
    return list(query(lake, sql, {name: at}, wanted).select(TABLES[name].schema.names).to_pylist())


def _scan(lake: Lake, name: str, version: int | None, equals: Mapping[str, Any]) -> pa.Table:
    """The stored rows with these values, in the schema's order and types."""
    schema = TABLES[name].schema
    if version == -1 or not lake.exists(name):
        return schema.empty_table()
    handle = lake.snapshot(name, lake.version(name) if version is None else version)
    dataset = dataset_of(handle, days={str(day) for day in _values(equals[DAY])} if DAY in equals else None)
    if not equals.keys() <= set(dataset.schema.names):  # a column that no stored row has yet
        return schema.empty_table()
    which: pc.Expression | None = None
    for column, value in equals.items():
        values = pa.array(_values(value), schema.field(column).type)
        test = pc.field(column).isin(values)
        which = test if which is None else which & test
    return _conform(dataset.to_table(filter=which), schema)


def _values(value: Any) -> list[Any]:
    """What is asked for: one value, or several."""
    return [value] if isinstance(value, str) or not isinstance(value, Collection) else list(value)


def _put_files(engine: Session, lake: Lake, name: str, version: int | None, part: Part | None) -> None:
    """`files_<name>`: what of a table is looked at, with every column of the schema."""
    at = lake.version(name) if version is None else version
    if part and part.values is not None:
        engine.put(f"wanted_{name}", pa.table({"value": part.values}))
    empty = TABLES[name].schema.empty_table()
    files = part.dataset if part else dataset_of(lake.snapshot(name, at)) if at >= 0 else empty
    if isinstance(files, pa.Table):
        engine.put(f"files_{name}", files)
    else:
        engine.files(f"files_{name}", lake, name, files)


def _views(name: str, part: Part | None) -> dict[str, str]:
    """`stored_<name>`, with the unit; and `<name>`, what of it readers are to see."""
    table = TABLES[name]
    more, which = [f"{unit} AS unit"] if (unit := _unit(table.schema)) else [], ""
    if part is not None and part.values is not None:
        which = f" WHERE {part.column} IN (SELECT value FROM wanted_{name})"  # noqa: S608 names are ours
    if name == "runs":
        which = f" UNION ALL SELECT {', '.join(table.schema.names)} FROM finishing"  # noqa: S608 names are ours
    columns = ", ".join([*(table.schema.names if name == "runs" else "*"), *more])
    seen = _view(f"newest_{name}") if name in NEEDS else f"SELECT * FROM stored_{name}{_visible(name)}"  # noqa: S608 names are ours
    return {f"stored_{name}": f"SELECT {columns} FROM files_{name}{which}", name: seen}  # noqa: S608 names are ours


@functools.cache
def _view(name: str) -> str:
    return Path(__file__).with_name(f"{name}.sql").read_text()


def _visible(name: str) -> str:
    """Which stored rows of a table readers are to see, as the rest of a SELECT."""
    table = TABLES[name]
    if table.of_run:
        return " WHERE run_id IN (SELECT run_id FROM stored_runs)"
    if not table.raw:
        return ""
    place = "coalesce(kafka_topic_id, ''), kafka_partition, kafka_offset"
    return (
        f" AS s SEMI JOIN ("  # noqa: S608 names are ours
        f"SELECT coalesce(kafka_topic_id, '') AS topic, kafka_partition AS part, kafka_offset AS place, row_number() "
        f"OVER (PARTITION BY {', '.join(table.identity)} ORDER BY ingested_at, {place}) AS copy FROM stored_{name}"
        f") AS f ON f.copy = 1 AND f.topic = coalesce(s.kafka_topic_id, '') AND f.part = s.kafka_partition "
        f"AND f.place = s.kafka_offset"
    )


def _unit(schema: pa.Schema) -> str:
    """The unit of a table's rows as SQL; empty where they have none."""
    if {"user_id", "conversation_id"} <= set(schema.names):
        return UNIT
    return f"'user:' || {_spelled('subject')}" if "subject" in schema.names else ""


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Columns in the schema's order and types; a column that the stored table lacks is null."""
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, names=schema.names)
