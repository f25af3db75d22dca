"""Audit: whether every archived offset is there once and undamaged; rows + dead letters = offset span.

Looks at the tables as they are stored, doubles and all, and at every byte of their files, or at what is new of both
since it last looked (`checked.py`). Finds; changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import FileDamaged
from schemas.tables import TABLES
from schemas.topics import ARCHIVED, Topic
from streams.lake.append import Handle, committed_id, start_id
from streams.lake.checked import Checked, Seen, is_due, load, save, stand
from streams.lake.engine import MEMORY
from streams.lake.files import verify
from streams.lake.layout import Lake, files_of
from streams.lake.maintain import files

SQL = Path(__file__).with_name("audit.sql")
SINCE = "since"
"""Beside the marks of a topic's partitions: from when on, in seconds, rows may have come that no audit has seen."""
LATEST_S = 86_400
"""How long before its commit a row may be stamped as ingested: a batch takes seconds, an archiver may hang for
hours."""
Audited = dict[str, int]
"""`committed_id` of a partition → up to where an audit found all of it, and SINCE."""
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


def audit(lake: Lake, today: date | None = None, *, hashes: bool = True) -> Audit:
    """Compare offsets with the committed ones for every archived topic and, with `hashes`, every file with its name.

    With a day: only what is new since the last such audit, and the day's share of the files (`checked.py`).
    """
    known = load(lake) if today else Checked()
    incidents: list[Incident] = []
    rows: dict[str, int] = {}
    letters = lake.open("dead_letters") if lake.exists("dead_letters") else None
    for topic in ARCHIVED:
        if lake.exists(topic.table):
            handle = lake.open(topic.table)
            rows[topic.table] = sum(file.rows for file in files(handle))
            try:
                incidents += _offsets(topic, handle, letters, known.offsets.setdefault(topic.table, {}))
            except duckdb.Error as error:
                incidents.append(Incident("unreadable", topic.table, f"offsets cannot be compared: {error}"))
    if letters is not None:
        rows["dead_letters"] = sum(file.rows for file in files(letters))
    found, checked, unhashed = _damaged(lake, TABLES, known, today) if hashes else ([], 0, 0)
    if today:
        save(lake, known)
    return Audit((*incidents, *found), rows, checked, unhashed)


def check_files(lake: Lake, names: Iterable[str], today: date) -> None:
    """Raise FileDamaged naming the files that are: to be called before anything is built from these tables.

    Reads what is new since it was last called, and the day's share of the rest.
    """
    known = load(lake)
    found, _, _ = _damaged(lake, names, known, today)
    save(lake, known)
    if found:
        raise FileDamaged(
            f"{len(found)} files are damaged: {'; '.join(f'{i.table}: {i.detail}' for i in found[:5])}. "
            "Restore them from a copy, or re-archive their offsets from Kafka; `flywheel audit` lists them all."
        )


def _damaged(lake: Lake, names: Iterable[str], known: Checked, today: date | None) -> tuple[list[Incident], int, int]:
    """Files whose content is not what their name says; how many were read; how many have no hash in their name."""
    found: list[Incident] = []
    read = unhashed = 0
    for name in names:
        if not lake.exists(name):
            continue
        paths = [file.path for file in files(lake.open(name))]
        promised = [path for path in paths if len(Path(path).stem) == 64]
        seen, now = known.files.get(name, {}), stand(lake, name, promised) if today else {}
        due = [path for path in promised if today is None or is_due(path, seen.get(path), now.get(path), today)]
        with ThreadPoolExecutor(READERS) as pool:
            answers = dict(zip(due, pool.map(lambda path: _verified(lake, name, path), due), strict=True))  # noqa: B023 done before the next table
        found += [answer for answer in answers.values() if answer is not None]
        read, unhashed = read + len(due), unhashed + len(paths) - len(promised)
        if today:
            whole = {path: Seen(*now[path], today.toordinal()) for path in due if answers[path] is None and path in now}
            known.files[name] = {path: s for path in promised if (s := whole.get(path, seen.get(path)))} | whole
            for path in (path for path in due if answers[path] is not None):
                known.files[name].pop(path, None)
    return found, read, unhashed


def _verified(lake: Lake, name: str, path: str) -> Incident | None:
    try:
        if verify(lake, name, path) is False:
            return Incident("damaged", name, f"{path} does not match the SHA-256 in its name")
    except FileDamaged as error:
        return Incident("unreadable", name, str(error))
    return None


def _offsets(topic: Topic, handle: Handle, letters: Handle | None, known: Audited) -> list[Incident]:
    """What is wrong from where the last audit ended to the committed offsets; `known` moves on where nothing is.

    What is found so is looked at again in the whole of the table before it is told: a letter may have lain there for
    days before its batch's rows came.
    """
    found = _breaks(topic, handle, letters, known)
    if found and known:
        known.clear()
        return _breaks(topic, handle, letters, known)
    return found


def _breaks(topic: Topic, handle: Handle, letters: Handle | None, known: Audited) -> list[Incident]:
    since = pc.scalar(datetime.fromtimestamp(known.get(SINCE, 0), UTC))
    with duckdb.connect(config={"memory_limit": MEMORY}) as connection:
        fresh = pc.field("ingested_at") >= since
        connection.register("stored_rows", files_of(handle).filter(fresh))
        empty = TABLES["dead_letters"].schema.empty_table()
        connection.register("stored_letters", empty if letters is None else files_of(letters).filter(fresh))
        places = connection.sql(
            "SELECT DISTINCT coalesce(kafka_topic_id, ''), kafka_partition FROM stored_rows UNION SELECT DISTINCT "
            "coalesce(kafka_topic_id, ''), kafka_partition FROM stored_letters WHERE kafka_topic = $topic",
            params={"topic": topic.name},
        ).fetchall()
        ids = {(t, p): committed_id(topic.name, t, p) for t, p in places}
        ids |= {_place(app): app for app in known if app != SINCE}
        committed = {place: handle.transaction_version(app) for place, app in ids.items()}
        firsts = {place: handle.transaction_version(start_id(topic.name, *place)) for place in ids}
        audited = {place: known[app] for place, app in ids.items() if app in known}
        connection.register("committed", _table(committed, "after"))
        connection.register("starts", _table({**firsts, **audited}, "first"))
        connection.register("audited", _table(audited, "first"))
        breaks = connection.sql(SQL.read_text(), params={"topic": topic.name}).fetchall()
        newest = connection.sql("SELECT CAST(epoch(max(ingested_at)) AS BIGINT) FROM stored_rows").fetchall()[0][0]
    if not breaks:
        known |= {app: after for place, app in ids.items() if (after := committed[place]) is not None}
        known |= {SINCE: newest - LATEST_S} if newest else {}
    return [
        Incident(
            "beyond_mark" if committed.get((t, p)) is not None and first >= committed[t, p] else what,
            topic.table,
            f"{topic.name}[{p}] of topic id {t}: offsets {first} to {after - 1}",
            p, first, after,
        )
        for t, p, what, first, after in breaks
    ]  # fmt: skip


def _place(app: str) -> tuple[str, int]:
    """Topic id and partition of a `committed_id`."""
    _, _, topic_id, number = app.split(":")
    return topic_id, int(number)


def _table(marks: Mapping[tuple[str, int], int | None], column: str) -> pa.Table:
    schema = pa.schema([("topic_id", pa.string()), ("number", pa.int32()), (column, pa.int64())])
    rows = [(*place, mark) for place, mark in marks.items() if mark is not None]
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
