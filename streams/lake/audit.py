"""Audit: whether every archived offset is there once and undamaged; rows + dead letters = offset span.

Looks at the tables as they are stored, doubles and all, and at every byte of their files. Finds; changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa

from schemas.errors import FileDamaged
from schemas.tables import TABLES
from schemas.topics import ARCHIVED, Topic
from streams.lake.append import Handle, committed_id, start_id
from streams.lake.files import verify
from streams.lake.layout import Lake, files_of
from streams.lake.maintain import files
from streams.lake.query import MEMORY

SQL = Path(__file__).with_name("audit.sql")
READERS = 4
"""Files that are hashed at once: SHA-256 takes some 1 GB/s a core, a disk less."""


class Incident(msgspec.Struct, frozen=True):
    """One place where the lake is not what it promises."""

    what: str
    """`gap`, `twice`, `beyond_mark`, `damaged` or `unreadable`."""
    table: str
    detail: str
    partition: int | None = None
    first: int | None = None
    """Offsets from here…"""
    after: int | None = None
    """…to before here."""


class Audit(msgspec.Struct, frozen=True):
    """What an audit found."""

    incidents: tuple[Incident, ...]
    rows: dict[str, int]
    """Rows per raw table, as stored."""
    files: int
    """Data files whose hash was checked."""
    unhashed: int
    """Files that another tool wrote: their names promise nothing."""


def audit(lake: Lake, *, hashes: bool = True) -> Audit:
    """Compare offsets with the committed ones for every archived topic and, with `hashes`, every file with its name."""
    incidents: list[Incident] = []
    rows: dict[str, int] = {}
    letters = lake.open("dead_letters") if lake.exists("dead_letters") else None
    for topic in ARCHIVED:
        if lake.exists(topic.table):
            handle = lake.open(topic.table)
            rows[topic.table] = sum(file.rows for file in files(handle))
            try:
                incidents += _offsets(topic, handle, letters)
            except duckdb.Error as error:
                incidents.append(Incident("unreadable", topic.table, f"offsets cannot be compared: {error}"))
    if letters is not None:
        rows["dead_letters"] = sum(file.rows for file in files(letters))
    checked = damaged_files(lake, TABLES) if hashes else ([], 0, 0)
    return Audit((*incidents, *checked[0]), rows, checked[1], checked[2])


def damaged_files(lake: Lake, names: Iterable[str]) -> tuple[list[Incident], int, int]:
    """Files whose content is not what their name says; how many were checked; how many have no hash in their name."""
    places = [(name, file.path) for name in names if lake.exists(name) for file in files(lake.open(name))]
    with ThreadPoolExecutor(READERS) as pool:
        answers = list(pool.map(lambda place: _verified(lake, *place), places))
    found = [answer for answer in answers if isinstance(answer, Incident)]
    return found, len(places) - answers.count(None), answers.count(None)


def check_files(lake: Lake, names: Iterable[str]) -> None:
    """Raise FileDamaged naming the files that are: to be called before anything is built from these tables."""
    found, _, _ = damaged_files(lake, names)
    if found:
        raise FileDamaged(
            f"{len(found)} files are damaged: {'; '.join(f'{i.table}: {i.detail}' for i in found[:5])}. "
            "Restore them from a copy, or re-archive their offsets from Kafka; `flywheel audit` lists them all."
        )


def _verified(lake: Lake, name: str, path: str) -> Incident | bool | None:
    try:
        if verify(lake, name, path) is False:
            return Incident("damaged", name, f"{path} does not match the SHA-256 in its name")
    except FileDamaged as error:
        return Incident("unreadable", name, str(error))
    return True if len(Path(path).stem) == 64 else None


def _offsets(topic: Topic, handle: Handle, letters: Handle | None) -> list[Incident]:
    with duckdb.connect(config={"memory_limit": MEMORY}) as connection:
        connection.register("stored_rows", files_of(handle))
        empty = TABLES["dead_letters"].schema.empty_table()
        connection.register("stored_letters", empty if letters is None else files_of(letters))
        places = connection.sql(
            "SELECT DISTINCT kafka_topic_id, kafka_partition FROM stored_rows UNION "
            "SELECT DISTINCT kafka_topic_id, kafka_partition FROM stored_letters WHERE kafka_topic = $topic",
            params={"topic": topic.name},
        ).fetchall()
        committed = [(t, p, handle.transaction_version(committed_id(topic.name, t or "", p))) for t, p in places]
        starts = [(t, p, handle.transaction_version(start_id(topic.name, t or "", p))) for t, p in places]
        connection.register("committed", _table(committed, "after"))
        connection.register("starts", _table(starts, "first"))
        breaks = connection.sql(SQL.read_text(), params={"topic": topic.name}).fetchall()
    end = {(t, p): after for t, p, after in committed}
    return [
        Incident(
            "beyond_mark" if end.get((t, p)) is not None and first >= end[t, p] else what,
            topic.table,
            f"{topic.name}[{p}] of topic id {t}: offsets {first} to {after - 1}",
            p, first, after,
        )
        for t, p, what, first, after in breaks
    ]  # fmt: skip


def _table(rows: list[tuple[str | None, int, int | None]], column: str) -> pa.Table:
    known = [row for row in rows if row[2] is not None]
    schema = pa.schema([("topic_id", pa.string()), ("number", pa.int32()), (column, pa.int64())])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in known], schema=schema)
