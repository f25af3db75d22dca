"""What was verified is not read again, but for a share of it each day; and what changed is found all the same."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from schemas.errors import FileDamaged
from streams.lake import Lake
from streams.lake.append import append, committed_id, start_id, to_rows
from streams.lake.audit import audit, check_files
from streams.lake.checked import SHARES, load
from streams.lake.maintain import compact

DAY = date(2026, 1, 5)
NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
MARK, START = committed_id("llm.feedback", "t", 0), start_id("llm.feedback", "t", 0)


def land(lake: Lake, first: int, after: int, committed: int | None = None, days: int = 0, topic_id: str = "t") -> None:
    """Feedback at these offsets in one commit, some days after the first."""
    at = NOW + timedelta(days=days)
    rows = [
        {"id": f"{topic_id}-{n}", "time": at, "application": "a", "conversation_id": "c", "interaction_id": "i",
         "kind": "thumb", "kafka_partition": 0, "kafka_offset": n, "kafka_topic_id": topic_id, "ingested_at": at,
         "ingest_date": at.date()}
        for n in range(first, after)
    ]  # fmt: skip
    mark = committed_id("llm.feedback", topic_id, 0)
    begun = {} if lake.committed("feedback", mark) is not None else {start_id("llm.feedback", topic_id, 0): first}
    append(lake, "feedback", to_rows("feedback", rows), {mark: committed or after, **begun})


def paths(lake: Lake) -> list[Path]:
    return sorted(Path(lake.uri("feedback")).rglob("*.parquet"))


def flip(path: Path, *, told: bool) -> None:
    """One bit of a file; `told`: its time of change says so."""
    known = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    if not told:
        os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))


def test_a_file_is_read_when_it_is_new_or_another_and_on_its_day(lake: Lake) -> None:
    """In a week every file is read anew; beside that only what came or changed."""
    for n in range(6):
        land(lake, n * 10, n * 10 + 10)
    assert audit(lake, DAY).files == 6
    assert audit(lake, DAY).files == 0
    land(lake, 60, 70)
    assert audit(lake, DAY).files == 1

    again = [audit(lake, DAY + timedelta(days=n)).files for n in range(1, SHARES + 1)]

    assert sum(again) == 7
    assert audit(lake).files == 7  # asked for by hand, all of it


def test_a_file_that_changed_is_found_at_once_where_the_store_tells(lake: Lake) -> None:
    """It is damaged at every look until somebody has mended it."""
    land(lake, 0, 10)
    check_files(lake, ["feedback"], DAY)
    flip(paths(lake)[0], told=True)

    for _ in range(2):
        with pytest.raises(FileDamaged):
            check_files(lake, ["feedback"], DAY)
    flip(paths(lake)[0], told=True)
    check_files(lake, ["feedback"], DAY)


def test_a_bit_that_a_disk_lost_in_silence_is_found_within_a_week(lake: Lake) -> None:
    """Neither size nor time tells; the file's own day does, and an audit by hand at once."""
    land(lake, 0, 10)
    check_files(lake, ["feedback"], DAY)
    flip(paths(lake)[0], told=False)

    assert "damaged" in {incident.what for incident in audit(lake).incidents}
    found = [audit(lake, DAY + timedelta(days=n)).incidents for n in range(1, SHARES + 1)]
    assert "damaged" in {incident.what for day in found for incident in day}


def test_an_audit_begins_where_the_last_one_ended(lake: Lake) -> None:
    """What was whole is not counted again; what comes after is, also of a topic that is made anew or was quiet."""
    land(lake, 0, 10)
    assert audit(lake, DAY).incidents == ()
    assert load(lake).offsets["feedback"][MARK] == 10
    land(lake, 10, 20, days=3)
    compact(lake, "feedback", 2**20)
    assert audit(lake, DAY).incidents == ()
    land(lake, 0, 5, days=3, topic_id="made anew")
    assert audit(lake, DAY).incidents == ()
    land(lake, 22, 30, days=6)

    for _ in range(2):
        assert [(i.what, i.first, i.after) for i in audit(lake, DAY).incidents] == [("gap", 20, 22)]
    land(lake, 20, 22, committed=30, days=9)
    assert audit(lake, DAY).incidents == ()


def test_a_letter_that_lay_there_for_days_before_its_rows_is_no_gap(lake: Lake) -> None:
    """An archiver was killed between its letters and its rows, and woken after other partitions were audited."""
    land(lake, 0, 10)
    letter = {
        "kafka_topic": "llm.feedback", "kafka_topic_id": "t", "kafka_partition": 0, "kafka_offset": 10,
        "ingested_at": NOW, "ingest_date": NOW.date(), "reason": "invalid_json", "offsets": 1,
    }  # fmt: skip
    append(lake, "dead_letters", to_rows("dead_letters", [letter]), {MARK: 11})
    land(lake, 0, 5, days=5, topic_id="other")
    assert audit(lake, DAY).incidents == ()
    land(lake, 11, 20, days=5)

    assert [audit(lake, DAY).incidents for _ in range(2)] == [(), ()]
    land(lake, 21, 30, days=5)
    assert [(one.what, one.first, one.after) for one in audit(lake, DAY).incidents] == [("gap", 20, 21)]


def test_a_mark_without_rows_is_a_gap_in_a_partition_that_was_audited_before(lake: Lake) -> None:
    """Nothing came and the offset moved on: that is no quiet partition."""
    land(lake, 0, 10)
    assert audit(lake, DAY).incidents == ()
    append(lake, "feedback", to_rows("feedback", []), {MARK: 15})

    assert [(i.what, i.first, i.after) for i in audit(lake, DAY).incidents] == [("gap", 10, 15)]
