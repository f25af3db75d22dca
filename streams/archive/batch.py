"""Kafka records → one batch: rows for the topic's table, dead letters for the rest, and the offsets that it covers.

Pure: no clock, no Kafka, no lake. Every offset of a batch is accounted for exactly once: a row, a dead letter, or part
of a gap that Kafka itself left. Go on to `streams/archive/columns.py`, and to `streams/archive/archiver.py`, which
lands batches.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from schemas.codec import TYPE_HEADER, Headers, known_type, type_of
from schemas.errors import EventError
from schemas.rows import BLOCK, Columns, Row, fields_of, nested_of, read, slow_row
from schemas.settings import ArchiveSettings
from schemas.signing import Trust
from schemas.tables import DEAD_LETTERS, TABLES, TIME
from schemas.topics import Topic
from streams.archive.columns import Column, column
from streams.archive.dead_letters import DeadLetters
from streams.archive.record import Metadata, Record, metadata, noted
from streams.logs import about, frames

_log = logging.getLogger(__name__)

_PLACE = {"kafka_partition": pa.int32(), "kafka_offset": pa.int64(), "kafka_time": pa.int64()}
"""Columns of a record's place; its time as milliseconds since the epoch."""


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

    def span(self, topic: Topic) -> str:
        """The batch's name in a log: `topic:partition@first-last`, and so on for each partition."""
        spans = sorted((number, self.first[number], after) for number, after in self.next.items())
        parts = (f"{number}@{first}-{after - 1}" for number, first, after in spans if after > first)
        return f"{topic.name}:{'+'.join(parts)}"

    def without(self, partition: int) -> Batch:
        """The same but for one partition."""
        return Batch(
            self.rows.filter(pc.not_equal(self.rows["kafka_partition"], partition)),
            [letter for letter in self.dead if letter["kafka_partition"] != partition],
            {number: offset for number, offset in self.first.items() if number != partition},
            {number: offset for number, offset in self.next.items() if number != partition},
        )


class _Rules(NamedTuple):
    """What a record is held against."""

    limit: int
    """Bytes of a value."""
    trust: Trust | None
    """Whose signature it must have; None: it needs none."""
    noted: Trust | None
    """Whose signature is noted beside it; None: nobody's."""


def make_batch(
    topic: Topic,
    topic_id: str,
    records: Sequence[Record],
    start: Mapping[int, int],
    ingested_at: datetime,
    limits: ArchiveSettings,
    refused: frozenset[tuple[int, int]] = frozenset(),
    trust: Trust | None = None,
) -> Batch:
    """Decode and validate records, in offset order within each partition. Never raises for what a record holds.

    `start` says for each partition which offset comes next: earlier records are skipped (they are in the lake), as are
    those of other partitions; a jump is a gap of Kafka's own (transaction markers, aborted or compacted records) and
    becomes one `absent` dead letter. `refused` are (partition, offset) that are dead letters already, whatever this
    version thinks of them. `trust` says whose signature the records of a signed topic have. A record that stops this
    program's code in a way that nobody foresaw is found by halving, and becomes the dead letter `unexpected`.
    """
    make_dead = DeadLetters(topic, topic_id, ingested_at, limits.dead_letter_bytes)
    rules = _Rules(limits.max_event_bytes, trust if topic.signed else None, trust if topic.waits else None)

    def made(part: Sequence[Record], start: Mapping[int, int]) -> Batch:
        try:
            return _make(topic, topic_id, part, start, ingested_at, rules, refused, make_dead)
        except Exception as error:
            stopped = error
        if len(part) > 1:
            first = made(part[: len(part) // 2], start)
            second = made(part[len(part) // 2 :], first.next)
            return join(topic, [first, second], [], second.next)
        with about(record="+".join(f"{topic.name}:{r.partition()}@{r.offset()}" for r in part)):
            _log.error("a record stops the decoding: it becomes a dead letter\n%s", frames(stopped))
        expected = dict(start)
        wanted, gaps = _in_order(part, expected, refused)
        dead = [_gap(make_dead, gap) for gap in gaps] + [make_dead.unexpected(record, stopped) for record in wanted]
        return Batch(TABLES[topic.table].schema.empty_table(), dead, dict(start), expected)

    return made(records, start)


def _make(
    topic: Topic,
    topic_id: str,
    records: Sequence[Record],
    start: Mapping[int, int],
    ingested_at: datetime,
    rules: _Rules,
    refused: frozenset[tuple[int, int]],
    make_dead: DeadLetters,
) -> Batch:
    expected = dict(start)
    dead: list[dict[str, Any]] = []
    columns = _columns(topic)
    for at in range(0, len(records), BLOCK):
        wanted, gaps = _in_order(records[at : at + BLOCK], expected, refused)
        dead += [_gap(make_dead, gap) for gap in gaps]
        beside = metadata(wanted)
        found, unsure = read(_values(topic, wanted, beside.headers, rules), topic.event_type)
        if unsure:
            wanted, beside, found, bad = _look_again(topic, wanted, beside, found, frozenset(unsure), rules)
            dead += [make_dead.refused(*letter) for letter in bad]
        if wanted:
            if beside.notes:
                found = _with_notes(topic, found, beside.notes)
            for grown, more in zip(columns.values(), (*found, *_beside(topic, wanted, beside, rules)), strict=True):
                grown.extend(more)
    dead.sort(key=_place)
    return Batch(_to_arrow(topic, topic_id, columns, ingested_at), dead, dict(start), expected)


def absent(topic: Topic, topic_id: str, start: Mapping[int, int], after: Mapping[int, int], at: datetime) -> Batch:
    """The batch of no record at all: Kafka has come to its end, and between here and there is nothing to be read."""
    make_dead = DeadLetters(topic, topic_id, at, 0)
    dead = [_gap(make_dead, (number, start[number], after[number] - start[number])) for number in sorted(after)]
    return Batch(TABLES[topic.table].schema.empty_table(), dead, dict(start), {**start, **after})


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
    letters = DeadLetters(topic, topic_id, ingested_at, 0)
    return letters.absent(partition, first, count, "removed by Kafka's retention before it was archived", "lost")


def unreadable(
    topic: Topic, topic_id: str, partition: int, first: int, count: int, ingested_at: datetime, why: str
) -> dict[str, Any]:
    """The dead letter for offsets whose records cannot be unpacked: a compression bomb, or damage by their producer."""
    return DeadLetters(topic, topic_id, ingested_at, 0).absent(partition, first, count, why[:1000], "unreadable")


def dead_table(letters: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Dead letters as rows of their table."""
    return pa.Table.from_pylist(list(letters), schema=DEAD_LETTERS.schema)


def _gap(make_dead: DeadLetters, gap: tuple[int, int, int]) -> dict[str, Any]:
    return make_dead.absent(*gap, "no record in Kafka at these offsets")


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


def _beside(topic: Topic, records: Sequence[Record], beside: Metadata, rules: _Rules) -> Columns:
    """What `_PLACE` names, of records; and of a topic that waits, the trusted key that signed each."""
    places: Columns = [
        [record.partition() or 0 for record in records],
        [record.offset() or 0 for record in records],
        beside.times,
    ]
    if topic.waits:
        pairs = zip(records, beside.headers, strict=True)
        signers = [
            rules.noted and rules.noted.signer(topic.event_type, record.value(), headers) for record, headers in pairs
        ]
        places.append(signers)
    return places


def _with_notes(topic: Topic, columns: Columns, notes: Mapping[int, dict[str, Any]]) -> Columns:
    """The columns, with what of the records' metadata could not be kept in `extra`."""
    at = fields_of(topic.event_type).index("extra")
    extra = [noted(value, notes[place]) if place in notes else value for place, value in enumerate(columns[at])]
    return [*columns[:at], extra, *columns[at + 1 :]]


def _place(letter: Mapping[str, Any]) -> tuple[int, int]:
    return letter["kafka_partition"], letter["kafka_offset"]


def _values(topic: Topic, records: Sequence[Record], headers: Sequence[Headers | None], rules: _Rules) -> list[bytes]:
    """The bytes of records of the topic's own type; none for any other, nor where signatures are to be looked at."""
    if rules.trust is not None:
        return [b""] * len(records)
    own = topic.event_type
    claim = (TYPE_HEADER, own.encode())  # looked for first: Python's own search is twice as fast as `type_of`
    return [
        value
        if (value := record.value())
        and len(value) <= rules.limit
        and (not pairs or claim in pairs or type_of(pairs, own) == own)
        else b""
        for record, pairs in zip(records, headers, strict=True)
    ]


_Letter = tuple[Record, EventError, Headers | None, int | None, Mapping[str, Any]]
"""What `DeadLetters.refused` is told."""


def _look_again(
    topic: Topic, records: Sequence[Record], beside: Metadata, columns: Columns, unsure: frozenset[int], rules: _Rules
) -> tuple[list[Record], Metadata, Columns, list[_Letter]]:
    """The records that are rows, with what came beside them and as columns, and the records that are none."""
    sound = zip(*columns, strict=True)
    places: list[int] = []
    rows: list[Row] = []
    bad: list[_Letter] = []
    for place, record in enumerate(records):
        headers = beside.headers[place]
        try:
            rows.append(_slow(topic, record, headers, rules) if place in unsure else next(sound))
        except EventError as error:
            bad.append((record, error, headers, beside.times[place], beside.notes.get(place, {})))
        else:
            places.append(place)
    return [records[place] for place in places], beside.kept(places), list(zip(*rows, strict=True)), bad


def _slow(topic: Topic, record: Record, headers: Headers | None, rules: _Rules) -> Row:
    """A record looked at from all sides. Raises EventError with the reason of its refusal."""
    value = record.value()
    if value is not None and len(value) > rules.limit:
        raise EventError("too_large", f"{len(value)} bytes; archive.max_event_bytes is {rules.limit}")
    type_name = type_of(headers, topic.event_type)
    if known_type(type_name)[0] != topic.event_type:
        raise EventError("wrong_topic", f"{type_name} does not belong on {topic.name}")
    if rules.trust is not None and rules.trust.signer(topic.event_type, value, headers) is None:
        raise EventError(
            "unsigned", f"neither this home's key nor one of trusted_keys signed this record of {topic.name}"
        )
    return slow_row(value, type_name)


def _columns(topic: Topic) -> dict[str, Column]:
    """An empty column for each value of a row, in the order of `fields_of`, and for each of `_PLACE`."""
    schema, nested = TABLES[topic.table].schema, nested_of(topic.event_type)
    read_ = {name: column(schema.field(name).type, json=name in nested) for name in fields_of(topic.event_type)}
    beside = {**_PLACE, **({"signed_by": pa.string()} if topic.waits else {})}
    return {**read_, **{name: column(type_) for name, type_ in beside.items()}}


def _to_arrow(topic: Topic, topic_id: str, columns: Mapping[str, Column], ingested_at: datetime) -> pa.Table:
    """Columns, and what all rows have in common, as rows of the topic's table."""
    schema = TABLES[topic.table].schema
    arrays = {name: grown.to_arrow() for name, grown in columns.items()}
    arrays["kafka_time"] = arrays["kafka_time"].cast(pa.timestamp("ms", tz="UTC")).cast(TIME)
    constant = {"ingested_at": ingested_at, "ingest_date": ingested_at.date(), "kafka_topic_id": topic_id}
    for name, value in constant.items():
        arrays[name] = pa.repeat(pa.scalar(value, schema.field(name).type), len(arrays["kafka_time"]))
    return pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)
