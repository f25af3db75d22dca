"""Removes rows from the lake for good, keeping their places: the audit still counts every offset.

What left is written to `dead_letters` first (reason `erased` or `retired`, without any content), then the rows go. A
kill in between leaves both for a while; the next run of the maintain flow ends it. Go on to `maintain.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from schemas.records import content_hash
from schemas.topics import ARCHIVED, Topic
from streams.lake.append import publish, to_rows
from streams.lake.layout import Lake
from streams.lake.maintain import ERASED, delete_rows, discard, drop_days, files, read_files, rewrite


def erase(lake: Lake, topic: Topic, rows: list[Mapping[str, Any]], now: datetime) -> int:
    """Remove rows (`id`, `kafka_topic_id`, `kafka_partition`, `kafka_offset`) and their bytes; how many there were.

    Their ids stay behind as `detail`, so that feedback on them which comes later is known for what it is.
    """
    if not rows:
        return 0
    letters = [_letter(topic.name, row["kafka_topic_id"], row, "erased", row["id"], 1, now) for row in rows]
    _leave_behind(lake, letters)
    ids = pa.array(sorted({row["id"] for row in rows}), pa.string())
    offsets = pa.array(sorted({row["kafka_offset"] for row in rows}), pa.int64())
    delete_rows(lake, topic.table, pc.field("id").isin(ids) & pc.field("kafka_offset").isin(offsets))
    return len(rows)


def blank_dead_letters(lake: Lake, subjects: Iterable[str]) -> int:
    """Empty the dead letters whose key or content names one of the subjects; how many there were.

    Reason, size and hash stay: they say what happened, not to whom.
    """
    quoted = {subject: msgspec.json.encode(subject) for subject in subjects}

    def hits(rows: pa.Table) -> pa.Array:
        keys = pa.array([subject.encode() for subject in quoted], pa.binary())
        found = pc.fill_null(pc.is_in(rows["key"], keys), False)
        for column in ("value", "headers"):
            for text in quoted.values():
                there = pc.match_substring(rows[column].cast(pa.binary()), text)
                found = pc.or_(found, pc.fill_null(there, False))
        return found

    def blank(rows: pa.Table) -> pa.Table:
        which = hits(rows)
        for column in ("key", "value", "headers", "detail"):
            at = rows.schema.get_field_index(column)
            field = rows.schema.field(at)
            rows = rows.set_column(at, field, pc.if_else(which, pa.scalar(None, field.type), rows[column]))
        return rows

    if not quoted or not lake.exists("dead_letters"):
        return 0
    counts = {
        file: pc.sum(hits(read_files(lake, "dead_letters", [file]))).as_py() or 0
        for file in files(lake.open("dead_letters"))
    }
    affected = [file for file, count in counts.items() if count]
    discard(lake, "dead_letters", rewrite(lake, "dead_letters", affected, blank, ERASED, data_change=True))
    return sum(counts.values())


def retire(lake: Lake, before: date, now: datetime) -> int:
    """Remove raw rows that arrived before a day, dead letters last; how many offsets that were."""
    count = 0
    for topic in ARCHIVED:
        if lake.exists(topic.table):
            count += _retire(lake, topic.table, topic.name, before, now)
    if lake.exists("dead_letters"):
        count += _retire(lake, "dead_letters", None, before, now)
    return count


def _retire(lake: Lake, name: str, topic: str | None, before: date, now: datetime) -> int:
    """Retire the old days of one table; `topic` is None for dead letters, whose rows name theirs."""
    old = [file for file in files(lake.open(name)) if file.day is not None and file.day < before]
    columns = ["kafka_topic_id", "kafka_partition", "kafka_offset"]
    columns += ["kafka_topic", "offsets"] if topic is None else []
    places = sorted(
        (row.get("kafka_topic", topic), row["kafka_topic_id"] or "", row["kafka_partition"], row["kafka_offset"],
         row.get("offsets") or 1)
        for row in read_files(lake, name, old, columns=columns).to_pylist()
    )  # fmt: skip
    letters = [
        _letter(at, topic_id, {"kafka_partition": number, "kafka_offset": first}, "retired", None, after - first, now)
        for at, topic_id, number, first, after in islands(places)
    ]
    _leave_behind(lake, letters)
    drop_days(lake, name, before)
    return sum(letter["offsets"] for letter in letters)


def islands(places: Iterable[tuple[Any, str, int, int, int]]) -> Iterator[tuple[Any, str, int, int, int]]:
    """Runs of consecutive offsets: sorted (topic, topic id, partition, first, count) → (…, first, after)."""
    run: tuple[Any, str, int, int, int] | None = None
    for topic, topic_id, number, first, count in places:
        if run is not None and run[:3] == (topic, topic_id, number) and first <= run[4]:
            run = (*run[:4], max(run[4], first + count))
            continue
        if run is not None:
            yield run
        run = (topic, topic_id, number, first, first + count)
    if run is not None:
        yield run


def _letter(
    topic: str, topic_id: str, place: Mapping[str, Any], reason: str, detail: str | None, count: int, now: datetime
) -> dict[str, Any]:
    return {
        "kafka_topic": topic,
        "kafka_topic_id": topic_id,
        "kafka_partition": place["kafka_partition"],
        "kafka_offset": place["kafka_offset"],
        "ingested_at": now,
        "ingest_date": now.date(),
        "reason": reason,
        "detail": detail,
        "offsets": count,
    }


def _leave_behind(lake: Lake, letters: list[dict[str, Any]]) -> None:
    """Write the letters once, however often this is begun again after a kill."""
    if letters:
        what = [[row["kafka_topic"], row["kafka_topic_id"], row["kafka_partition"], row["kafka_offset"], row["offsets"]]
                for row in letters]  # fmt: skip
        publish(lake, "dead_letters", to_rows("dead_letters", letters), content_hash(["retire", what]))
