"""Removes rows from the lake for good, keeping their places: the audit still counts every offset.

What left is written to `dead_letters` first (reason `erased` or `retired`, without any content), then the rows go. A
kill in between leaves both for a while; the next run of the maintain flow ends it. Go on to `maintain.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.records import content_hash
from schemas.topics import ARCHIVED, Topic
from streams.lake import checked
from streams.lake.append import publish, to_rows
from streams.lake.layout import Lake
from streams.lake.maintain import ERASED, delete_rows, discard, drop_days, files, holding, read_files, rewrite
from streams.lake.spellings import Names


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
    which = pc.field("id").isin(ids) & pc.field("kafka_offset").isin(offsets)
    delete_rows(lake, topic.table, which, holding(lake, topic.table, which, ("id", ids.to_pylist())))
    return len(rows)


def blank_dead_letters(lake: Lake, subjects: Mapping[str, str]) -> int:
    """Empty the dead letters whose key or content names one of the subjects, in any spelling; how many there were.

    Reason, size and hash stay: they say what happened, not to whom. Each file is searched once for a subject: a note
    remembers for whom (`checked.py`), by the keys of `subjects`, which tell nobody who that is.
    """
    if not Names(subjects.values()) or not lake.exists("dead_letters"):
        return 0
    known, blanked, searched = checked.load(lake).blanked, 0, []
    for file in files(lake.open("dead_letters")):
        searched.append(file.path)  # what is rewritten, or comes meanwhile, is searched once more the next time
        seen = set(known.get(file.path, ()))
        names = Names(subject for key, subject in subjects.items() if key not in seen)
        count = pc.sum(_hits(names, read_files(lake, "dead_letters", [file]))).as_py() if names else 0
        if count:
            blank = functools.partial(_blank, Names(subjects.values()))
            discard(lake, "dead_letters", rewrite(lake, "dead_letters", [file], blank, ERASED, data_change=True))
            blanked += count
    memory = checked.load(lake)
    memory.blanked = {path: sorted(subjects) for path in searched}
    checked.save(lake, memory)
    return blanked


def _hits(names: Names, rows: pa.Table) -> pa.Array:
    """Whether each row names one of them."""
    columns = (rows[column].cast(pa.binary()).to_pylist() for column in ("key", "value", "headers", "detail"))
    found = (names.in_key(key) or any(map(names.stand_in, said)) for key, *said in zip(*columns, strict=True))
    return pa.array(list(found), pa.bool_())


def _blank(names: Names, rows: pa.Table) -> pa.Table:
    """The rows, those that name one of them without their content."""
    which = _hits(names, rows)
    for column in ("key", "value", "headers", "detail"):
        at = rows.schema.get_field_index(column)
        field = rows.schema.field(at)
        rows = rows.set_column(at, field, pc.if_else(which, pa.scalar(None, field.type), rows[column]))
    return rows


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
    """Retire the old days of one table, each by itself; `topic` is None for dead letters, whose rows name theirs."""
    old = [file for file in files(lake.open(name)) if file.day is not None and file.day < before]
    columns = ["kafka_topic_id", "kafka_partition", "kafka_offset"]
    columns += ["kafka_topic", "offsets"] if topic is None else []
    letters = [
        _letter(at, topic_id, {"kafka_partition": number, "kafka_offset": first}, "retired", None, after - first, now)
        for _, day in groupby(old, key=lambda file: file.day)
        for at, topic_id, number, first, after in islands(read_files(lake, name, list(day), columns=columns), topic)
    ]
    _leave_behind(lake, letters)
    drop_days(lake, name, before)
    return sum(letter["offsets"] for letter in letters)


def islands(rows: pa.Table, topic: str | None) -> Iterator[tuple[str, str, int, int, int]]:
    """Runs of consecutive offsets: (topic, topic id, partition, first, after), in order."""
    count = len(rows)
    topics = rows["kafka_topic"] if topic is None else pa.array([topic] * count, pa.string())
    lengths = pc.fill_null(rows["offsets"], 1) if "offsets" in rows.column_names else pa.array([1] * count, pa.int64())
    places = pa.table({
        "topic": topics,
        "id": pc.fill_null(rows["kafka_topic_id"], ""),
        "number": rows["kafka_partition"],
        "first": rows["kafka_offset"],
        "after": pc.add(rows["kafka_offset"], lengths),
    })  # fmt: skip
    for (at, topic_id, number), part in _by_partition(places):
        order = np.argsort(part["first"].to_numpy(), kind="stable")
        first, after = part["first"].to_numpy()[order], np.maximum.accumulate(part["after"].to_numpy()[order])
        begins = np.flatnonzero(np.concatenate([[True], first[1:] > after[:-1]]))
        ends = np.concatenate([begins[1:], [len(first)]]) - 1
        for begin, end in zip(begins, ends, strict=True):
            yield at, topic_id, number, int(first[begin]), int(after[end])


def _by_partition(places: pa.Table) -> Iterator[tuple[tuple[str, str, int], pa.Table]]:
    names = ("topic", "id", "number")
    found = places.group_by(list(names)).aggregate([]).to_pylist()
    for key in sorted(tuple(row[name] for name in names) for row in found):
        tests = [pc.equal(places[name], value) for name, value in zip(names, key, strict=True)]
        yield key, places.filter(pc.and_(pc.and_(*tests[:2]), tests[2]))


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
