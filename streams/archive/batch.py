"""Kafka records → one batch: rows for the topic's table, dead letters for the rest, and the offsets that it covers.

Pure: no clock, no Kafka, no lake. Every offset of a batch is accounted for exactly once: a row, a dead letter, or part
of a gap that Kafka itself left. Go on to `streams/archive/columns.py`, and to `streams/archive/archiver.py`, which
lands batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from schemas.codec import TYPE_HEADER, Headers, known_type, type_of
from schemas.errors import EventError
from schemas.rows import BLOCK, Columns, Row, fields_of, nested_of, read, slow_row
from schemas.settings import ArchiveSettings
from schemas.tables import DEAD_LETTERS, TABLES, TIME
from schemas.topics import Topic
from streams.archive.columns import EPOCH, Column, column

_PLACE = {"kafka_partition": pa.int32(), "kafka_offset": pa.int64(), "kafka_time": pa.int64()}
"""Columns of a record's place; its time as milliseconds since the epoch."""


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

    `start` says for each partition which offset comes next: earlier records are skipped (they are in the lake), as are
    those of other partitions; a jump is a gap of Kafka's own (transaction markers, aborted or compacted records) and
    becomes one `absent` dead letter. `refused` are (partition, offset) that are dead letters already, whatever this
    version thinks of them.
    """
    expected = dict(start)
    dead: list[dict[str, Any]] = []
    make_dead = _DeadLetters(topic, topic_id, ingested_at, limits.dead_letter_bytes)
    columns = _columns(topic)
    for at in range(0, len(records), BLOCK):
        wanted, gaps = _in_order(records[at : at + BLOCK], expected, refused)
        dead += [make_dead.absent(*gap, "no record in Kafka at these offsets") for gap in gaps]
        found, unsure = read(_values(topic, wanted, limits.max_event_bytes), topic.event_type)
        if unsure:
            wanted, found, bad = _look_again(topic, wanted, found, frozenset(unsure), limits.max_event_bytes)
            dead += [make_dead.refused(record, error) for record, error in bad]
        if wanted:
            for grown, more in zip(columns.values(), (*found, *_places(wanted)), strict=True):
                grown.extend(more)
    dead.sort(key=_place)
    return Batch(_to_arrow(topic, topic_id, columns, ingested_at), dead, dict(start), expected)


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


def _in_order(
    records: Sequence[Record], expected: dict[int, int], refused: frozenset[tuple[int, int]]
) -> tuple[Sequence[Record], list[tuple[int, int, int]]]:
    """The records that are to be read, and the gaps between them: partition, first offset, count. Moves `expected`."""
    partitions = [record.partition() or 0 for record in records]
    offsets = [record.offset() or 0 for record in records]
    first = offsets[0]
    if (
        not refused
        and expected.get(partitions[0]) == first
        and partitions.count(partitions[0]) == len(records)
        and offsets == list(range(first, first + len(records)))
    ):  # one partition's next records, as nearly always
        expected[partitions[0]] = offsets[-1] + 1
        return records, []
    wanted, gaps = [], []
    for record, partition, offset in zip(records, partitions, offsets, strict=True):
        if (next_ := expected.get(partition)) is None or offset < next_:
            continue
        if offset > next_:
            gaps.append((partition, next_, offset - next_))
        expected[partition] = offset + 1
        if (partition, offset) not in refused:
            wanted.append(record)
    return wanted, gaps


def _places(records: Sequence[Record]) -> Columns:
    """What `_PLACE` names, of records."""
    return [
        [record.partition() or 0 for record in records],
        [record.offset() or 0 for record in records],
        [record.timestamp()[1] for record in records],
    ]


def _place(letter: Mapping[str, Any]) -> tuple[int, int]:
    return letter["kafka_partition"], letter["kafka_offset"]


def _values(topic: Topic, records: Sequence[Record], limit: int) -> list[bytes]:
    """The bytes of records of the topic's own type; none for any other."""
    own = topic.event_type
    claim = (TYPE_HEADER, own.encode())  # looked for first: Python's own search is twice as fast as `type_of`
    return [
        value
        if (value := record.value())
        and len(value) <= limit
        and (not (headers := record.headers()) or claim in headers or type_of(headers, own) == own)
        else b""
        for record in records
    ]


def _look_again(
    topic: Topic, records: Sequence[Record], columns: Columns, unsure: frozenset[int], limit: int
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
            "kafka_time": EPOCH + timedelta(milliseconds=max(0, record.timestamp()[1])),
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


def _columns(topic: Topic) -> dict[str, Column]:
    """An empty column for each value of a row, in the order of `fields_of`, and for each of `_PLACE`."""
    schema, nested = TABLES[topic.table].schema, nested_of(topic.event_type)
    read_ = {name: column(schema.field(name).type, json=name in nested) for name in fields_of(topic.event_type)}
    return {**read_, **{name: column(type_) for name, type_ in _PLACE.items()}}


def _to_arrow(topic: Topic, topic_id: str, columns: Mapping[str, Column], ingested_at: datetime) -> pa.Table:
    """Columns, and what all rows have in common, as rows of the topic's table."""
    schema = TABLES[topic.table].schema
    arrays = {name: grown.to_arrow() for name, grown in columns.items()}
    arrays["kafka_time"] = arrays["kafka_time"].cast(pa.timestamp("ms", tz="UTC")).cast(TIME)
    constant = {"ingested_at": ingested_at, "ingest_date": ingested_at.date(), "kafka_topic_id": topic_id}
    for name, value in constant.items():
        arrays[name] = pa.repeat(pa.scalar(value, schema.field(name).type), len(arrays["kafka_time"]))
    return pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)
