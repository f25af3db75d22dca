"""Rows into a table: what a table that we make is like, and which offsets are known as dead."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from schemas.errors import CommitConflict
from schemas.tables import TABLES
from streams.lake import Lake
from streams.lake.append import Span, Writer, append, committed_id, create, dead_offsets, start_id, to_rows
from streams.lake.files import write
from streams.lake.maintain import files
from streams.lake.query import read

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


def test_equal_rows_of_two_commits_are_two_files_and_a_commit_tried_again_is_one(lake: Lake) -> None:
    """A path stands for one commit: the footer says which; removing one of two files leaves the other's rows."""
    rows = to_rows("embeddings", [{"embedder": "e", "text_hash": "h", "vector": [0.5]}])
    first, again, second = (write(lake, "embeddings", rows, {"run": run})[0].path for run in ("one", "one", "another"))
    append(lake, "embeddings", rows, {"run:one": 1})
    append(lake, "embeddings", rows, {"run:another": 1})

    assert first == again != second
    assert len(files(lake.open("embeddings"))) == 2
    assert read(lake, "embeddings").num_rows == 2
    notes = [pq.read_metadata(path).metadata[b"flywheel"] for path in Path(lake.uri("embeddings")).glob("*.parquet")]
    assert sorted(notes) == [b'{"run":"another"}', b'{"run":"one"}', b'{"run:another":"1"}', b'{"run:one":"1"}']
