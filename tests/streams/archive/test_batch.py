"""A batch accounts for every offset once, whatever the records hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.testing.events import interaction
from schemas.codec import encode
from schemas.settings import ArchiveSettings
from schemas.tables import TABLES
from schemas.topics import ARCHIVED, INTERACTIONS
from streams.archive.batch import Batch, dead_table, join, lost, make_batch
from streams.lake.files import to_parquet

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
GOOD = encode(interaction(1))


class Record:
    """One record, of partition 0 unless it says otherwise."""

    def __init__(
        self, offset: int, value: bytes | None, headers: Any = None, key: bytes | None = b"key", partition: int = 0
    ) -> None:
        self._offset, self._value, self._headers, self._key, self._partition = offset, value, headers, key, partition

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 0, -1

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Any:
        return self._headers


@st.composite
def damaged(draw: st.DrawFn) -> bytes | None:
    """An event, sound or hurt, or noise, or nothing."""
    kind = draw(st.sampled_from(["good", "hurt", "noise", "odd", "none"]))
    if kind == "hurt":
        value = bytearray(GOOD)
        at = draw(st.integers(0, len(value) - 1))
        value[at : at + draw(st.integers(0, 9))] = draw(st.binary(max_size=9))
        return bytes(value)
    if kind == "odd":
        odd = {"extra": 1, "é": draw(st.text(max_size=5)), "request_parameters": None, "output_messages": []}
        return json.dumps({**msgspec.to_builtins(interaction(2)), **odd}).encode("utf-8", "surrogatepass")
    return {"good": GOOD, "noise": draw(st.binary(max_size=30)), "none": None}[kind]


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(damaged(), max_size=12),
    gaps=st.sets(st.integers(0, 11), max_size=4),
    headers=st.none() | st.lists(st.tuples(st.text(max_size=4), st.none() | st.binary(max_size=4)), max_size=2),
    key=st.none() | st.binary(max_size=4),
)
def test_every_offset_is_accounted_for_once(
    values: list[bytes | None], gaps: set[int], headers: Any, key: bytes | None
) -> None:
    """Rows, dead letters and gaps together are exactly the offsets up to the next; all of it can be written."""
    records = [Record(n, value, headers, key) for n, value in enumerate(values) if n not in gaps]

    batch = make_batch(INTERACTIONS, "t", records, {0: 0}, NOW, ArchiveSettings())

    places = batch.rows["kafka_offset"].to_pylist()
    for letter in batch.dead:
        places += range(letter["kafka_offset"], letter["kafka_offset"] + letter["offsets"])
    assert sorted(places) == list(range(batch.next[0]))
    batch.rows.validate(full=True)
    to_parquet(INTERACTIONS.table, batch.rows, {})
    to_parquet("dead_letters", dead_table(batch.dead), {})


def test_records_before_the_mark_are_skipped() -> None:
    """What the lake holds already is not taken again, nor is what is a dead letter already."""
    records = [Record(n, GOOD if n != 3 else b"bad") for n in range(6)]

    batch = make_batch(INTERACTIONS, "t", records, {0: 2}, NOW, ArchiveSettings(), frozenset({(0, 3), (0, 4)}))

    assert batch.rows["kafka_offset"].to_pylist() == [2, 5]
    assert (batch.dead, batch.first, batch.next) == ([], {0: 2}, {0: 6})


def test_absent_and_null_are_null_and_the_rest_is_as_it_was_sent() -> None:
    """Nested values keep their very text; a missing field and `null` are null, an empty list is not."""
    base = msgspec.to_builtins(interaction(1))
    text = json.dumps({**base, "output_messages": [], "tool_definitions": None, "request_parameters": {"a": 1.50}})

    (row,) = make_batch(INTERACTIONS, "t", [Record(0, text.encode())], {0: 0}, NOW, ArchiveSettings()).rows.to_pylist()

    assert (row["output_messages"], row["tool_definitions"], row["request_parameters"]) == ("[]", None, '{"a": 1.5}')
    assert row["input_messages"] == json.dumps(base["input_messages"])


def test_a_loss_is_one_letter_for_all_its_offsets() -> None:
    """What Kafka dropped is on record with its range, and without content."""
    letter = dead_table([lost(INTERACTIONS, "t", 1, 40, 30, NOW)]).to_pylist()[0]

    assert (letter["reason"], letter["kafka_offset"], letter["offsets"], letter["value"]) == ("lost", 40, 30, None)


def test_an_empty_batch_has_the_schema_of_its_table() -> None:
    """Every archived topic makes rows of exactly its table."""
    for topic in ARCHIVED:
        batch = make_batch(topic, "t", [], {0: 5}, NOW, ArchiveSettings())
        assert batch.rows.schema.equals(TABLES[topic.table].schema)
        assert batch.next == {0: 5}


@settings(max_examples=100, deadline=None)
@given(
    records=st.lists(st.tuples(st.integers(0, 1), damaged()), max_size=12),
    cuts=st.lists(st.integers(0, 12), max_size=3).map(sorted),
    dropped=st.sets(st.integers(0, 1), max_size=1),
)
def test_a_batch_in_parts_is_the_batch_as_a_whole(
    records: list[tuple[int, bytes | None]], cuts: list[int], dropped: set[int]
) -> None:
    """It does not matter in how many goes records were consumed, nor what came from a partition that was taken away."""
    ends = dict.fromkeys((0, 1), 0)
    log = []
    for partition, value in records:
        log.append(Record(ends[partition], value, partition=partition))
        ends[partition] += 1
    parts, at = [], dict.fromkeys((0, 1), 0)
    for first, last in zip([0, *cuts], [*cuts, len(log)], strict=True):
        part = make_batch(INTERACTIONS, "t", log[first:last], at, NOW, ArchiveSettings())
        at = dict(part.next)
        parts.append(reduce(Batch.without, dropped, part))
    kept = {number: offset for number, offset in at.items() if number not in dropped}

    batch = join(INTERACTIONS, parts, [], kept)

    mine = [record for record in log if record.partition() not in dropped]
    whole = make_batch(INTERACTIONS, "t", mine, dict.fromkeys(kept, 0), NOW, ArchiveSettings())
    assert (batch.rows, batch.dead, batch.first, batch.next) == (whole.rows, whole.dead, whole.first, whole.next)
