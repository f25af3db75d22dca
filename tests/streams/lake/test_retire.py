"""What leaves for good: places that become islands, letters that name somebody, files that need not be opened."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.testing.events import interaction
from schemas.topics import INTERACTIONS
from streams.lake import Lake
from streams.lake.append import append, to_rows
from streams.lake.maintain import files, holding
from streams.lake.query import read
from streams.lake.retire import blank_dead_letters, islands
from tests.support.archived import arrive

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
PLACES = st.lists(
    st.tuples(st.sampled_from(["x", "y"]), st.sampled_from([None, "t"]), st.integers(0, 1), st.integers(0, 12),
              st.sampled_from([None, 1, 3]))
)  # fmt: skip


@given(PLACES)
def test_islands_are_the_offsets_that_follow_one_another(places: list[tuple[Any, ...]]) -> None:
    """Every offset that was there lies in one island, no other does, and no two islands touch."""
    names = ["kafka_topic", "kafka_topic_id", "kafka_partition", "kafka_offset", "offsets"]
    schema = pa.schema(zip(names, [pa.string(), pa.string(), pa.int32(), pa.int64(), pa.int64()], strict=True))
    rows = pa.Table.from_pylist([dict(zip(names, place, strict=True)) for place in places], schema=schema)
    there = {(t, i or "", p, o + n) for t, i, p, o, count in places for n in range(count or 1)}

    found = list(islands(rows, None))

    assert {(t, i, p, o) for t, i, p, first, after in found for o in range(first, after)} == there
    assert found == sorted(found)
    assert all(one[:3] != two[:3] or one[4] < two[3] for one, two in itertools.pairwise(found))


def test_dead_letters_are_searched_once_for_a_person(lake: Lake) -> None:
    """New letters for everybody, old ones for who is new; what is found loses its content and keeps its reason."""

    def letter(at: int, value: bytes) -> None:
        row = {"kafka_topic": "x", "kafka_topic_id": "t", "kafka_partition": 0, "kafka_offset": at,
               "reason": "malformed", "value": value, "ingested_at": NOW, "ingest_date": NOW.date()}  # fmt: skip
        append(lake, "dead_letters", to_rows("dead_letters", [row]), {})

    letter(0, b'{"user_id": "ann"')
    letter(1, b'{"user_id": "bob"')
    assert blank_dead_letters(lake, {"1": "ann"}) == 1
    assert blank_dead_letters(lake, {"1": "ann"}) == 0
    assert blank_dead_letters(lake, {"1": "ann", "2": "bob"}) == 1
    letter(2, b'{"user_id": "ann"')
    letter(3, b'{"user_id": "eve"')
    assert blank_dead_letters(lake, {"1": "ann", "2": "bob"}) == 1

    left = read(lake, "dead_letters").sort_by("kafka_offset")
    assert left["value"].to_pylist() == [None, None, None, b'{"user_id": "eve"']
    assert set(left["reason"].to_pylist()) == {"malformed"}


@pytest.mark.parametrize("among", [True, False])
def test_a_file_whose_bounds_hold_no_wanted_id_is_not_opened(lake: Lake, among: bool) -> None:
    """The same rows are found either way; with bounds a file that is gone from the disk does not matter."""
    events = [interaction(n) for n in range(6)]
    for one in range(0, 6, 2):
        arrive(lake, INTERACTIONS, events[one : one + 2])
    wanted = sorted([events[2].id, events[3].id])
    which = pc.field("id").isin(pa.array(wanted))
    found = holding(lake, "interactions", which, ("id", wanted) if among else None)

    assert list(found.values()) == [2]
    assert len(files(lake.open("interactions"))) == 3
    if among:
        for file in files(lake.open("interactions")):
            if file not in found:
                (Path(lake.uri("interactions")) / file.path).unlink()
        assert holding(lake, "interactions", which, ("id", wanted)) == found
