"""Parts of a table: what came since a version, what may hold some ids, and answers that stream."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flows.testing.events import START, happened, interaction
from schemas.tables import TIME
from streams.lake import Lake
from streams.lake.changes import changes
from streams.lake.maintain import compact, delete_rows, tidy_log
from streams.lake.parts import Part, holding, kept_apart, since, within
from streams.lake.query import ask, query
from streams.lake.spilled import SPILLS

IDS = "SELECT id FROM interactions ORDER BY id"


def seen(lake: Lake, part: Part) -> list[str]:
    versions = lake.versions(["interactions"])
    return list(query(lake, IDS, versions, parts={"interactions": part})["id"].to_pylist())


def since_version(lake: Lake, before: int) -> list[str]:
    return seen(lake, since(lake, "interactions", lake.version("interactions"), before))


def test_what_came_since_a_version_is_found_whatever_was_joined_meanwhile(lake: Lake) -> None:
    """New rows are never left out; older ones are looked at once more only where they were joined with new ones."""
    old, new = [interaction(n) for n in range(4)], [interaction(n) for n in range(10, 13)]
    happened(lake, *old[:2])
    happened(lake, *old[2:])
    before = lake.version("interactions")
    happened(lake, *new)

    assert since_version(lake, before) == [row.id for row in new]
    compact(lake, "interactions", 2**20)
    assert {row.id for row in new} <= set(since_version(lake, before))
    now = lake.version("interactions")
    assert since_version(lake, now) == []
    assert len(since_version(lake, -1)) == 7


def test_rows_that_only_moved_to_another_file_have_not_come(lake: Lake) -> None:
    """A compaction of what was known, and an erasure, bring no row: the night's work costs the next turn nothing."""
    for n in range(4):
        happened(lake, interaction(n))
    before = lake.version("interactions")
    compact(lake, "interactions", 2**20)
    assert lake.version("interactions") > before
    assert since_version(lake, before) == []

    before = lake.version("interactions")
    delete_rows(lake, "interactions", pc.field("id") == interaction(2).id)
    happened(lake, interaction(8))
    known = lake.version("interactions")
    happened(lake, interaction(9))
    compact(lake, "interactions", 2**20)
    found = changes(lake, "interactions", lake.open("interactions"), before)
    assert (len(found.files), len(found.days), found.whole) == (1, 1, False)
    assert {interaction(8).id, interaction(9).id} <= set(since_version(lake, before))
    assert interaction(9).id in since_version(lake, known)
    assert since_version(lake, lake.version("interactions") - 1) == []


def test_a_night_of_erasing_and_joining_brings_nothing(lake: Lake) -> None:
    """First rows go, then files are joined: none of what is left has come since."""
    for n in range(4):
        happened(lake, interaction(n))
    before = lake.version("interactions")
    delete_rows(lake, "interactions", pc.field("id") == interaction(2).id)
    compact(lake, "interactions", 2**20)

    found = changes(lake, "interactions", lake.open("interactions"), before)

    assert (found.files, len(found.days)) == ((), 1)


def test_where_the_log_is_gone_everything_has_come(lake: Lake) -> None:
    """Nothing is left out because nobody knows any more what was there."""
    for n in range(120):
        happened(lake, interaction(n))
    tidy_log(lake, "interactions", -1, [])

    found = changes(lake, "interactions", lake.open("interactions"), 3)

    assert found.whole
    assert len(since_version(lake, 3)) == 120


def test_only_files_that_can_hold_an_id_are_opened(lake: Lake) -> None:
    """The log's bounds leave the others out, and of those that are opened only the wanted rows are seen."""
    for first in (0, 100, 200):
        happened(lake, *[interaction(first + n) for n in range(3)])
    wanted = pa.array([interaction(101).id, interaction(999).id])

    part = holding(lake, "interactions", lake.version("interactions"), "id", wanted)

    assert len(list(part.dataset.get_fragments())) == 1  # type: ignore[union-attr] # a dataset where there are rows
    assert seen(lake, part) == [interaction(101).id]
    assert seen(lake, holding(lake, "interactions", -1, "id", wanted)) == []


def test_rows_of_a_time_are_found_by_it(lake: Lake) -> None:
    """An expression over the stored columns, as statistics know them."""
    happened(lake, *[interaction(n) for n in range(5)])
    late = pc.field("time") >= pa.scalar(START + timedelta(seconds=3), TIME)

    found = seen(lake, within(lake, "interactions", lake.version("interactions"), late))

    assert found == [interaction(3).id, interaction(4).id]


def test_an_answer_streams_in_batches_in_its_order(lake: Lake) -> None:
    """Whatever the batches, the rows are those of the whole answer."""
    happened(lake, *[interaction(n) for n in range(5)])
    versions = lake.versions(["interactions"])

    with ask(lake, IDS, versions) as answer:
        batches = list(answer.batches(2))
    with ask(lake, IDS, versions) as answer:
        rows = [row["id"] for row in answer.dicts(2)]

    assert [id_ for batch in batches for id_ in batch["id"].to_pylist()] == rows
    assert rows == query(lake, IDS, versions)["id"].to_pylist()


def test_a_part_that_is_kept_apart_has_the_same_rows_and_leaves_nothing(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For its owner alone while the context is open; its file goes with it, after an error too."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    happened(lake, *[interaction(n) for n in range(10)])
    after = pc.field("time") >= pa.scalar(START + timedelta(seconds=4), TIME)
    part = within(lake, "interactions", lake.version("interactions"), after)
    expected = seen(lake, part)

    def ended_half_way() -> None:
        with kept_apart(part) as apart:
            assert 0 < len(expected) < 10
            assert seen(lake, apart) == expected
            (folder,) = tmp_path.glob(f"{SPILLS}*")
            assert folder.stat().st_mode & 0o077 == 0
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        ended_half_way()
    assert not list(tmp_path.glob(f"{SPILLS}*"))
