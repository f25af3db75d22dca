"""A batch accounts for every offset once, whatever the records hold."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.testing.events import interaction
from schemas.codec import encode
from schemas.events import Decision
from schemas.records import make_candidate
from schemas.settings import ArchiveSettings
from schemas.signing import Signer, Trust
from schemas.tables import TABLES
from schemas.topics import ARCHIVED, DECISIONS, INTERACTIONS
from streams.archive.batch import Batch, absent, dead_table, join, lost, make_batch
from streams.lake.files import to_parquet
from tests.support.records import Record

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
GOOD = encode(interaction(1))


class Unreadable(Record):
    """A record with a header name that is no UTF-8, as librdkafka's client hands it out: it can be asked once."""

    asked = 0

    def headers(self) -> Any:
        self.asked += 1
        if self.asked > 1:
            raise SystemError("returned NULL without setting an exception")
        return b"\xff\xfe".decode()


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
    headers=st.none()
    | st.lists(st.tuples(st.text(max_size=4), st.none() | st.binary(max_size=4) | st.text(max_size=4)), max_size=2),
    key=st.none() | st.binary(max_size=4),
    times=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=12, max_size=12),
    unreadable=st.sets(st.integers(0, 11), max_size=3),
)
def test_every_offset_is_accounted_for_once(
    values: list[bytes | None],
    gaps: set[int],
    headers: Any,
    key: bytes | None,
    times: list[int],
    unreadable: set[int],
) -> None:
    """Rows, dead letters and gaps together are exactly the offsets up to the next; all of it can be written and read.

    Whatever a producer wrote beside the values: times of any size, header names that are no UTF-8, values of any type.
    """
    records = [
        (Unreadable if n in unreadable else Record)(n, value, headers, key, time_ms=times[n])
        for n, value in enumerate(values)
        if n not in gaps
    ]

    batch = make_batch(INTERACTIONS, "t", records, {0: 0}, NOW, ArchiveSettings())

    places = batch.rows["kafka_offset"].to_pylist()
    for letter in batch.dead:
        places += range(letter["kafka_offset"], letter["kafka_offset"] + letter["offsets"])
    assert sorted(places) == list(range(batch.next[0]))
    batch.rows.validate(full=True)
    assert len(batch.rows.to_pylist()) + len(dead_table(batch.dead).to_pylist()) == len(batch.rows) + len(batch.dead)
    to_parquet(INTERACTIONS.table, batch.rows, {})
    to_parquet("dead_letters", dead_table(batch.dead), {})


def test_records_before_the_mark_are_skipped() -> None:
    """What the lake holds already is not taken again, nor is what is a dead letter already."""
    records = [Record(n, GOOD if n != 3 else b"bad") for n in range(6)]

    batch = make_batch(INTERACTIONS, "t", records, {0: 2}, NOW, ArchiveSettings(), frozenset({(0, 3), (0, 4)}))

    assert batch.rows["kafka_offset"].to_pylist() == [2, 5]
    assert (batch.dead, batch.first, batch.next) == ([], {0: 2}, {0: 6})
    in_a_row = make_batch(INTERACTIONS, "t", records, {0: 0}, NOW, ArchiveSettings(), frozenset({(0, 3), (0, 4)}))
    assert in_a_row.rows["kafka_offset"].to_pylist() == [0, 1, 2, 5]
    assert (in_a_row.dead, in_a_row.first, in_a_row.next) == ([], {0: 0}, {0: 6})


def test_absent_and_null_are_null_and_the_rest_is_as_it_was_sent() -> None:
    """Nested values keep their very text; a missing field and `null` are null, an empty list is not."""
    base = msgspec.to_builtins(interaction(1))
    text = json.dumps({**base, "output_messages": [], "tool_definitions": None, "request_parameters": {"a": 1.50}})

    (row,) = make_batch(INTERACTIONS, "t", [Record(0, text.encode())], {0: 0}, NOW, ArchiveSettings()).rows.to_pylist()

    assert (row["output_messages"], row["tool_definitions"], row["request_parameters"]) == ("[]", None, '{"a": 1.5}')
    assert row["input_messages"] == json.dumps(base["input_messages"])


def test_a_decision_that_nobody_trusted_signed_is_a_dead_letter() -> None:
    """Whoever may write to the topic cannot put a row into the lake's decisions: unsigned, foreign or altered."""
    ours, stranger = Signer("A" * 43), Signer("B" * 42 + "A")
    champion = make_candidate("evil", "http://127.0.0.1:9/v1")
    decision = Decision(
        id=str(uuid.UUID(int=1)), time=NOW, application="a", action="promoted", candidate=champion, sequence=2**53 - 1
    )
    value = encode(decision)
    signed = ours.headers(DECISIONS.event_type, value)
    foreign = stranger.headers(DECISIONS.event_type, value)
    altered = value.replace(b"evil", b"good")
    records = [Record(0, value, signed), Record(1, value), Record(2, value, foreign), Record(3, altered, signed)]

    batch = make_batch(DECISIONS, "t", records, {0: 0}, NOW, ArchiveSettings(), trust=Trust([ours.public_key]))

    assert batch.rows["kafka_offset"].to_pylist() == [0]
    assert [letter["reason"] for letter in batch.dead] == ["unsigned"] * 3


def test_a_loss_is_one_letter_for_all_its_offsets() -> None:
    """What Kafka dropped is on record with its range, and without content."""
    letter = dead_table([lost(INTERACTIONS, "t", 1, 40, 30, NOW)]).to_pylist()[0]

    assert (letter["reason"], letter["kafka_offset"], letter["offsets"], letter["value"]) == ("lost", 40, 30, None)


@pytest.mark.parametrize(
    "time_ms",
    [1_767_600_000_000_000, 1_767_600_000_000_000_000, 2**63 - 1, -2, -(2**63), 253_370_764_800_000],
    ids=["micro", "nano", "largest", "negative", "smallest", "year 9999"],
)
def test_a_time_that_is_none_costs_the_time(time_ms: int) -> None:
    """The row lands without it, with what was said in its `extra`; so does the dead letter of a bad event."""
    records = [Record(0, GOOD, time_ms=time_ms), Record(1, b"bad", time_ms=time_ms), Record(2, GOOD, time_ms=0)]

    batch = make_batch(INTERACTIONS, "t", records, {0: 0}, NOW, ArchiveSettings())

    odd, sound = batch.rows.to_pylist()
    assert (odd["kafka_time"], json.loads(odd["extra"])) == (None, {"kafka_note": {"time_ms": time_ms}})
    assert (sound["kafka_time"], sound["extra"]) == (datetime(1970, 1, 1, tzinfo=UTC), None)
    (letter,) = dead_table(batch.dead).to_pylist()
    assert letter["kafka_time"] is None
    assert str(time_ms) in letter["detail"]


def test_a_note_stands_beside_what_the_producer_sent() -> None:
    """Unknown fields stay, even one that has the note's own name."""
    value = json.dumps({**msgspec.to_builtins(interaction(1)), "kafka_note": "mine", "mood": 1}).encode()

    (row,) = make_batch(
        INTERACTIONS, "t", [Record(0, value, time_ms=-9)], {0: 0}, NOW, ArchiveSettings()
    ).rows.to_pylist()

    assert json.loads(row["extra"]) == {"kafka_note": "mine", "mood": 1, "kafka_note_": {"time_ms": -9}}


def test_a_header_name_that_is_no_text_costs_the_headers() -> None:
    """The record is what its topic carries, its neighbours keep their headers, and nobody is asked twice."""
    other = [("ce_type", b"llm.feedback.v1")]
    records = [Record(0, GOOD), Unreadable(1, GOOD), Record(2, GOOD, other), Unreadable(3, b"bad"), Record(4, GOOD)]

    batch = make_batch(INTERACTIONS, "t", records, {0: 0}, NOW, ArchiveSettings())

    assert batch.rows["kafka_offset"].to_pylist() == [0, 1, 4]
    assert "can't decode" in json.loads(batch.rows["extra"].to_pylist()[1])["kafka_note"]["headers"]
    assert [letter["reason"] for letter in batch.dead] == ["wrong_topic", "invalid_json"]
    assert "can't decode" in batch.dead[1]["detail"]


def test_a_record_that_stops_our_code_is_one_dead_letter() -> None:
    """Its neighbours are rows, the offset is accounted for, and the traceback says where."""

    class Worse(Record):
        def value(self) -> Any:
            if self._offset == 4:
                raise MemoryError("nobody foresaw this")
            return GOOD

        def key(self) -> bytes | None:
            return b"k"

    records = [Worse(n, GOOD, [("ce_type", b"llm.interaction.v1")]) for n in (0, 1, 2, 4, 5)]

    batch = make_batch(INTERACTIONS, "t", records, {0: 0}, NOW, ArchiveSettings())

    assert batch.rows["kafka_offset"].to_pylist() == [0, 1, 2, 5]
    assert [(letter["reason"], letter["kafka_offset"]) for letter in batch.dead] == [("absent", 3), ("unexpected", 4)]
    assert "in value" in batch.dead[1]["detail"]
    assert batch.next == {0: 6}
    dead_table(batch.dead).validate(full=True)


def test_the_end_of_a_partition_accounts_for_what_nobody_reads() -> None:
    """Behind a transaction's marker there is nothing: the offsets are a gap, and the batch has no row."""
    batch = absent(INTERACTIONS, "t", {1: 4}, {1: 8}, NOW)

    assert [(letter["reason"], letter["kafka_offset"], letter["offsets"]) for letter in batch.dead] == [
        ("absent", 4, 4)
    ]
    assert (batch.first, batch.next, len(batch.rows)) == ({1: 4}, {1: 8}, 0)


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


def test_the_size_limit_is_met_to_the_byte() -> None:
    """An event of exactly `max_event_bytes` is a row; a longer one a dead letter with its size, hash and start."""
    longer = GOOD[:-1] + b" " + GOOD[-1:]
    limits = ArchiveSettings(max_event_bytes=len(GOOD), dead_letter_bytes=20)

    batch = make_batch(INTERACTIONS, "t", [Record(0, GOOD), Record(1, longer), Record(2, GOOD)], {0: 0}, NOW, limits)

    assert batch.rows["kafka_offset"].to_pylist() == [0, 2]
    (letter,) = batch.dead
    assert (letter["kafka_offset"], letter["reason"], letter["value"]) == (1, "too_large", longer[:20])
    assert (letter["value_size"], letter["value_sha256"]) == (len(longer), hashlib.sha256(longer).hexdigest())


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("llm.interaction.v1", 1),
        ("llm.interaction.v7", 7),
        (None, 1),
        ("llm.feedback.v1", "wrong_topic"),
        ("llm.feedback.v7", "wrong_topic"),
        ("llm.dream.v1", "unknown_type"),
    ],
)
def test_a_record_is_read_as_what_it_says_it_is(claim: str | None, expected: int | str) -> None:
    """The topic's own type, older or newer, is a row with the version written; a type of another topic is none."""
    headers = None if claim is None else [("ce_type", claim.encode())]

    batch = make_batch(INTERACTIONS, "t", [Record(0, GOOD, headers)], {0: 0}, NOW, ArchiveSettings())

    found = batch.rows["event_version"].to_pylist() + [letter["reason"] for letter in batch.dead]
    assert found == [expected]
