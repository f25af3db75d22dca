"""Kafka records → one batch: rows for the topic's table, dead letters for the rest, and the offsets that it covers.

Pure: no clock, no Kafka, no lake. Every offset of a batch is accounted for exactly once: a row, a dead letter, or part
of a gap that Kafka itself left. Go on to `streams/archive.py`, which fills batches and lands them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.codec import Headers, known_type, type_of
from schemas.errors import EventError
from schemas.rows import Columns, Row, fields_of, nested_of, read, slow_row
from schemas.settings import ArchiveSettings
from schemas.tables import DEAD_LETTERS, TABLES
from schemas.topics import Topic

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Record(Protocol):
    """One record as Kafka clients hand it out; `confluent_kafka.Message` is one."""

    def partition(self) -> int | None:
        """Its partition."""

    def offset(self) -> int | None:
        """Its offset."""

    def timestamp(self) -> tuple[int, int]:
        """Kind of time, and milliseconds since the epoch."""

    def key(self) -> bytes | None:
        """Its key."""

    def value(self) -> bytes | None:
        """Its value."""

    def headers(self) -> Any:
        """Its headers: pairs of name and bytes, or None."""


class Batch(msgspec.Struct, frozen=True):
    """What one commit lands."""

    rows: pa.Table
    """In the schema of the topic's table."""
    dead: list[dict[str, Any]]
    """Rows of `dead_letters`, offsets ascending within a partition."""
    first: dict[int, int]
    """Per partition, the first offset that the batch accounts for."""
    next: dict[int, int]
    """Per partition, one beyond the last offset that the batch accounts for."""

    def without(self, partition: int) -> Batch:
        """The same but for one partition."""
        return Batch(
            self.rows.filter(pc.not_equal(self.rows["kafka_partition"], partition)),
            [letter for letter in self.dead if letter["kafka_partition"] != partition],
            {number: offset for number, offset in self.first.items() if number != partition},
            {number: offset for number, offset in self.next.items() if number != partition},
        )


def make_batch(
    topic: Topic,
    topic_id: str,
    records: Sequence[Record],
    start: Mapping[int, int],
    ingested_at: datetime,
    limits: ArchiveSettings,
    refused: frozenset[tuple[int, int]] = frozenset(),
) -> Batch:
    """Decode and validate records, in offset order within each partition.

    `start` says for each partition which offset comes next: earlier records are skipped (they are in the lake), a jump
    is a gap of Kafka's own (transaction markers, aborted or compacted records) and becomes one `absent` dead letter.
    `refused` are (partition, offset) that are dead letters already, whatever this version thinks of them.
    """
    expected = dict(start)
    wanted: list[Record] = []
    dead: list[dict[str, Any]] = []
    make_dead = _DeadLetters(topic, topic_id, ingested_at, limits.dead_letter_bytes)
    for record in records:
        partition, offset = record.partition() or 0, record.offset() or 0
        if (next_ := expected.get(partition, offset)) != offset:
            if offset < next_:
                continue
            dead.append(make_dead.absent(partition, next_, offset - next_, "no record in Kafka at these offsets"))
        expected[partition] = offset + 1
        if not refused or (partition, offset) not in refused:
            wanted.append(record)
    columns, unsure = read([_value(topic, record, limits.max_event_bytes) for record in wanted], topic.event_type)
    if unsure:
        wanted, columns, bad = _look_again(topic, wanted, columns, frozenset(unsure), limits.max_event_bytes)
        dead += [make_dead.refused(record, error) for record, error in bad]
    dead.sort(key=_place)
    return Batch(_to_arrow(topic, topic_id, wanted, columns, ingested_at), dead, dict(start), expected)


def join(topic: Topic, parts: Sequence[Batch], dead: list[dict[str, Any]], next_: dict[int, int]) -> Batch:
    """Batches that follow one another as one, up to `next_`; with dead letters of offsets that lie before them."""
    first = dict(next_)
    for part in reversed(parts):
        first |= part.first
    letters = sorted((letter for part in parts for letter in part.dead), key=_place)
    empty = TABLES[topic.table].schema.empty_table()
    return Batch(pa.concat_tables([empty, *(part.rows for part in parts)]), dead + letters, first, next_)


def lost(topic: Topic, topic_id: str, partition: int, first: int, count: int, ingested_at: datetime) -> dict[str, Any]:
    """The dead letter for offsets that Kafka's retention removed before they were archived."""
    letters = _DeadLetters(topic, topic_id, ingested_at, 0)
    return letters.absent(partition, first, count, "removed by Kafka's retention before it was archived", "lost")


def unreadable(
    topic: Topic, topic_id: str, partition: int, first: int, count: int, ingested_at: datetime, why: str
) -> dict[str, Any]:
    """The dead letter for offsets whose records cannot be unpacked: a compression bomb, or damage by their producer."""
    return _DeadLetters(topic, topic_id, ingested_at, 0).absent(partition, first, count, why[:1000], "unreadable")


def dead_table(letters: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Dead letters as rows of their table."""
    return pa.Table.from_pylist(list(letters), schema=DEAD_LETTERS.schema)


def _place(letter: Mapping[str, Any]) -> tuple[int, int]:
    return letter["kafka_partition"], letter["kafka_offset"]


def _value(topic: Topic, record: Record, limit: int) -> bytes:
    """The bytes of a record of the topic's own type; none for any other."""
    value = record.value()
    if value and len(value) <= limit and type_of(record.headers(), topic.event_type) == topic.event_type:
        return value
    return b""


def _look_again(
    topic: Topic, records: list[Record], columns: Columns, unsure: frozenset[int], limit: int
) -> tuple[list[Record], Columns, list[tuple[Record, EventError]]]:
    """The records that are rows, all rows as columns, and the records that are none, with the reason."""
    sound = zip(*columns, strict=True)
    kept, found, bad = [], [], []
    for place, record in enumerate(records):
        try:
            found.append(_slow(topic, record, limit) if place in unsure else next(sound))
        except EventError as error:
            bad.append((record, error))
        else:
            kept.append(record)
    return kept, list(zip(*found, strict=True)), bad


def _slow(topic: Topic, record: Record, limit: int) -> Row:
    """A record looked at from all sides. Raises EventError with the reason of its refusal."""
    value = record.value()
    if value is not None and len(value) > limit:
        raise EventError("too_large", f"{len(value)} bytes; archive.max_event_bytes is {limit}")
    type_name = type_of(record.headers(), topic.event_type)
    if type_name != topic.event_type and known_type(type_name)[0] != topic.event_type:
        raise EventError("wrong_topic", f"{type_name} does not belong on {topic.name}")
    return slow_row(value, type_name)


class _DeadLetters:
    """Makes dead letters of one topic: one method for each kind of cause."""

    def __init__(self, topic: Topic, topic_id: str, ingested_at: datetime, kept_bytes: int) -> None:
        self._kept_bytes = kept_bytes
        self._common = {
            "kafka_topic": topic.name,
            "kafka_topic_id": topic_id,
            "ingested_at": ingested_at,
            "ingest_date": ingested_at.date(),
        }

    def refused(self, record: Record, error: EventError) -> dict[str, Any]:
        """The record came, and breaks the contract."""
        value = record.value()
        return {
            **self._common,
            "kafka_partition": record.partition() or 0,
            "kafka_offset": record.offset() or 0,
            "kafka_time": _EPOCH + timedelta(milliseconds=max(0, record.timestamp()[1])),
            "reason": error.reason,
            "detail": error.detail[:1000].encode("utf-8", "replace").decode(),
            "key": record.key(),
            "value": None if value is None else value[: self._kept_bytes],
            "value_size": None if value is None else len(value),
            "value_sha256": None if value is None else hashlib.sha256(value).hexdigest(),
            "headers": _headers_text(record.headers()),
            "offsets": 1,
        }

    def absent(self, partition: int, first: int, count: int, detail: str, reason: str = "absent") -> dict[str, Any]:
        """No record came for these offsets."""
        place = {"kafka_partition": partition, "kafka_offset": first, "offsets": count}
        return {**self._common, **place, "reason": reason, "detail": detail}


def _headers_text(headers: Headers | None) -> str | None:
    if not headers:
        return None
    return msgspec.json.encode(
        [[name, None if value is None else value.decode("utf-8", "replace")] for name, value in headers]
    ).decode()


def _to_arrow(topic: Topic, topic_id: str, records: list[Record], columns: Columns, ingested_at: datetime) -> pa.Table:
    """Records and what was read of them as rows of the topic's table."""
    schema, nested = TABLES[topic.table].schema, nested_of(topic.event_type)
    if not records:
        return schema.empty_table()
    values = dict(zip(fields_of(topic.event_type), columns, strict=True))
    values["kafka_partition"] = [record.partition() or 0 for record in records]
    values["kafka_offset"] = [record.offset() or 0 for record in records]
    constant = {"ingested_at": ingested_at, "ingest_date": ingested_at.date(), "kafka_topic_id": topic_id}
    arrays = []
    for field in schema:
        if field.name in constant:
            arrays.append(pa.repeat(pa.scalar(constant[field.name], field.type), len(records)))
        elif field.name == "kafka_time":
            times = [record.timestamp()[1] for record in records]
            arrays.append(pa.array(times, pa.timestamp("ms", tz="UTC")).cast(field.type))
        elif field.name in nested:
            arrays.append(_json(values[field.name]))
        elif field.name == "time":
            arrays.append(_times(values[field.name], field.type))
        else:
            arrays.append(pa.array(values[field.name], field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _times(times: Sequence[datetime], type_: pa.DataType) -> pa.Array:
    """Times as a column: a third of the time of handing them to pyarrow, which asks each for its zone."""
    return pa.array([time - _EPOCH for time in times], pa.duration("us")).cast(pa.int64()).cast(type_)


def _json(texts: Any) -> pa.Array:
    """JSON texts (bytes-like, valid UTF-8 by `schemas.rows`) as a column; absent fields and `null` are null.

    Built from one joined buffer: a third of the time of making a bytes object of each.
    """
    sizes = np.fromiter(map(len, texts), np.int32, len(texts))
    valid = sizes > 0
    for index in np.flatnonzero(sizes == len(b"null")):
        valid[index] = bytes(texts[index]) != b"null"
    ends = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(sizes, out=ends[1:])
    validity = None if valid.all() else pa.array(valid).buffers()[1]
    return pa.Array.from_buffers(pa.string(), len(texts), [validity, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))])
