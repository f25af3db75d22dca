"""Rows into a table: what a table that we make is like, and which offsets are known as dead."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.errors import CommitConflict
from schemas.tables import TABLES
from streams.lake import Lake
from streams.lake.append import Span, Writer, append, committed_id, create, dead_offsets, start_id, to_rows

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


def letters(lake: Lake, *places: tuple[int, int | None], topic_id: str = "t", partition: int = 0) -> None:
    """Dead letters at (first offset, how many); None: of an older version, which counted one each."""
    rows: list[dict[str, Any]] = [
        {"kafka_topic": "x", "kafka_topic_id": topic_id, "kafka_partition": partition, "kafka_offset": first,
         "offsets": count, "reason": "absent", "ingested_at": NOW, "ingest_date": NOW.date()}
        for first, count in places
    ]  # fmt: skip
    append(lake, "dead_letters", to_rows("dead_letters", rows), {})


@pytest.mark.parametrize("name", TABLES)
def test_no_column_of_a_table_is_required_for_ever(lake: Lake, name: str) -> None:
    """A later version may stop to write any column, and a column that is added is null in older files."""
    handle = create(lake, name)

    assert [field.name for field in handle.schema().fields if not field.nullable] == []
    assert [field.name for field in handle.schema().fields] == TABLES[name].schema.names


def test_a_table_keeps_its_history_until_we_let_it_go(lake: Lake) -> None:
    """A version that a dataset was built from stays readable: no writer tidies the log by itself."""
    configuration = create(lake, "interactions").metadata().configuration

    assert configuration["delta.enableExpiredLogCleanup"] == "false"


def test_dead_offsets_are_those_of_one_partition_of_one_topic_from_an_offset_on(lake: Lake) -> None:
    """A letter for a gap names each of its offsets; another partition's, or a topic's made anew, are not ours."""
    letters(lake, (3, 1), (10, 4), (20, None))
    letters(lake, (5, 1), partition=1)
    letters(lake, (6, 1), topic_id="made anew")
    handle = create(lake, "dead_letters")

    assert dead_offsets(handle, "x", "t", 0, 0) == {3, 10, 11, 12, 13, 20}
    assert dead_offsets(handle, "x", "t", 0, 10) == {10, 11, 12, 13, 20}
    assert dead_offsets(handle, "x", "t", 1, 0) == {5}
    assert dead_offsets(handle, "x", "made anew", 0, 0) == {6}
    assert dead_offsets(handle, "y", "t", 0, 0) == frozenset()


def test_a_mark_is_that_of_one_partition_of_one_topic() -> None:
    """A topic that was deleted and made anew counts from nought; where it began is not where it stands."""
    places = [(topic, id_, n) for topic in ("a", "b") for id_ in ("1", "2") for n in (0, 1)]

    assert len({name(*place) for place in places for name in (committed_id, start_id)}) == 16


def test_two_writers_at_one_handle_cannot_both_commit(lake: Lake) -> None:
    """Both compared the committed offset and found it right; who commits second is told so, as a conflict."""
    partition = committed_id("llm.erasures", "t", 0)
    first, second = Writer(lake, "erasures"), Writer(lake, "erasures")
    nothing = to_rows("erasures", [])
    first.land(nothing, {partition: Span(None, 3)})

    with pytest.raises(CommitConflict):
        second.land(nothing, {partition: Span(None, 4)})
    assert lake.committed("erasures", partition) == 3
