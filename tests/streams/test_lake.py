"""Water at rest: commits are whole and happen once, files are what they say, tables stay healthy."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from schemas.errors import CommitConflict, FileDamaged, LakeError, SchemaMismatch, TableMissing
from schemas.tables import TABLES
from streams.lake import Lake
from streams.lake.append import Span, Writer, append, committed_id, create, publish, start_id, to_rows
from streams.lake.audit import audit, check_files
from streams.lake.maintain import (
    INTERVAL,
    compact,
    delete_rows,
    drop_days,
    files,
    interval_for,
    space_checkpoints,
    tidy_log,
    vacuum,
)
from streams.lake.query import query, read
from tests.support.lake import COMMITTED, NOW, land_range, rows


def offsets(lake: Lake) -> list[int]:
    return sorted(read(lake, "interactions")["kafka_offset"].to_pylist())


def codecs(lake: Lake) -> set[str]:
    """Of all columns of all files."""
    groups = [pq.ParquetFile(uri).metadata.row_group(0) for uri in lake.open("interactions").file_uris()]
    return {group.column(n).compression for group in groups for n in range(group.num_columns)}


def test_a_commit_brings_rows_and_marks_together(lake: Lake) -> None:
    """After a commit the rows are there and the committed offset stands behind them."""
    land_range(lake, 0, 3)

    assert offsets(lake) == [0, 1, 2]
    assert lake.committed("interactions", COMMITTED) == 3


def test_a_second_writer_of_the_same_offsets_is_refused(lake: Lake) -> None:
    """A zombie that read the table before somebody else committed cannot commit its copy."""
    zombie = Writer(lake, "interactions")
    land_range(lake, 0, 3)

    with pytest.raises(CommitConflict):
        zombie.land(rows([0, 1]), {COMMITTED: Span(None, 2)})
    assert offsets(lake) == [0, 1, 2]


def test_what_a_writer_knows_ends_where_others_commit(lake: Lake) -> None:
    """Another took over one of its partitions while it landed the other: it notices at the next batch of the first."""
    first, other = Writer(lake, "interactions"), committed_id("llm.interactions", "t", 1)
    first.land(rows([0, 1, 2]), {COMMITTED: Span(None, 3)})
    land_range(lake, 3, 5)

    with pytest.raises(CommitConflict):
        first.land(rows([3]), {COMMITTED: Span(3, 4)})
    first.land(rows([7]), {other: Span(None, 8)})
    with pytest.raises(CommitConflict, match="is at 5"):
        first.land(rows([3]), {COMMITTED: Span(3, 4)})
    assert offsets(lake) == [0, 1, 2, 3, 4, 7]


def test_marks_are_asked_once_and_again_when_others_have_committed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the log costs milliseconds for each Kafka partition, in each commit."""
    asked: list[str] = []
    ask = DeltaTable.transaction_version
    monkeypatch.setattr(DeltaTable, "transaction_version", lambda *of: asked.append(of[1]) or ask(*of))
    mine, theirs = Writer(lake, "interactions"), Writer(lake, "interactions")
    other = committed_id("llm.interactions", "t", 1)
    for n in range(3):
        mine.land(rows([n]), {COMMITTED: Span(n or None, n + 1)})
    assert asked == [COMMITTED]

    theirs.land(rows([7]), {other: Span(None, 8)})
    mine.land(rows([3]), {COMMITTED: Span(3, 4)})
    assert asked == [COMMITTED, other]
    mine.land(rows([4]), {COMMITTED: Span(4, 5), other: Span(8, 9)})
    assert asked == [COMMITTED, other, COMMITTED, other]


def test_a_writer_that_expects_another_mark_is_refused(lake: Lake) -> None:
    """A fresh handle does not help: the committed offset must be the one that the batch builds on."""
    land_range(lake, 0, 3)

    for expected in (None, 2, 4):
        with pytest.raises(CommitConflict, match="is at 3"):
            Writer(lake, "interactions").land(rows([2, 3]), {COMMITTED: Span(expected, 4)})


def test_writers_of_other_partitions_do_not_disturb(lake: Lake) -> None:
    """Many archivers commit to one table at once, each to its partitions, and all succeed."""

    def work(partition: int) -> None:
        writer, app = Writer(lake, "interactions"), committed_id("llm.interactions", "t", partition)
        for n in range(5):
            writer.land(rows([n], ids=[f"{partition}-{n}"]), {app: Span(n or None, n + 1)})

    create(lake, "interactions")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))

    assert read(lake, "interactions").num_rows == 20


def test_a_batch_without_rows_moves_the_committed_offset(lake: Lake) -> None:
    """A batch of nothing but bad events is progress too."""
    Writer(lake, "interactions").land(rows([]), {COMMITTED: Span(None, 7)})

    assert lake.committed("interactions", COMMITTED) == 7
    assert offsets(lake) == []


def test_a_run_publishes_once(lake: Lake) -> None:
    """The same run twice writes its rows once, however many start it at once."""
    table = to_rows("cluster_events", [{"run_id": "r", "application": "a", "cluster_id": "c", "event": "born"}])
    create(lake, "cluster_events")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: publish(lake, "cluster_events", table, "r"), range(4)))

    assert sorted(answers) == [False, False, False, True]
    assert read(lake, "cluster_events").num_rows == 1


def test_the_same_id_is_one_event_to_readers(lake: Lake) -> None:
    """Doubles across commits and days are one row: the first that arrived."""
    append(lake, "interactions", rows([0], ids=["x"], day=1), {})
    append(lake, "interactions", rows([1], ids=["x"], day=0), {})

    found = query(lake, "SELECT id, kafka_offset FROM interactions", lake.versions(["interactions"]))
    assert found.to_pylist() == [{"id": "x", "kafka_offset": 1}]


def test_a_file_is_named_by_its_content(lake: Lake) -> None:
    """The audit reads every byte: one flipped bit is an incident, and nothing is built from such a table."""
    land_range(lake, 0, 100)
    assert audit(lake).incidents == ()
    (path,) = Path(lake.uri("interactions")).rglob("*.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)

    assert ("damaged", "interactions") in {(incident.what, incident.table) for incident in audit(lake).incidents}
    with pytest.raises(FileDamaged):
        check_files(lake, ["interactions"], date(2026, 1, 5))
    with pytest.raises(FileDamaged):
        delete_rows(lake, "interactions", pc.field("user_id") == "u")


def test_a_missing_file_is_an_incident(lake: Lake) -> None:
    """A file that the table lists and the disk has not is named."""
    land_range(lake, 0, 10)
    next(Path(lake.uri("interactions")).rglob("*.parquet")).unlink()

    assert {incident.what for incident in audit(lake).incidents} == {"unreadable"}


@pytest.mark.parametrize(
    ("ranges", "found"),
    [
        ([(0, 5), (5, 9)], []),
        ([(0, 5), (7, 9)], [("gap", 5, 7)]),
        ([(0, 5), (3, 9)], [("twice", 3, 4), ("twice", 4, 5)]),
        ([(2, 5)], [("gap", 0, 2)]),
    ],
)
def test_the_audit_finds_gaps_and_doubles(lake: Lake, ranges: list[tuple[int, int]], found: list[Any]) -> None:
    """Whatever a bug or a hand did to the table, the audit names the offsets."""
    start = {start_id("llm.interactions", "t", 0): 0}
    for first, after in ranges:
        append(lake, "interactions", rows(range(first, after)), {COMMITTED: after, **start})

    assert [(i.what, i.first, i.after) for i in audit(lake).incidents] == found


def test_rows_behind_the_mark_are_missed(lake: Lake) -> None:
    """A committed offset that ran ahead of the rows is a gap at the end."""
    append(lake, "interactions", rows([0, 1]), {COMMITTED: 5})

    assert [(i.what, i.first, i.after) for i in audit(lake).incidents] == [("gap", 2, 5)]


def test_compaction_changes_files_and_nothing_else(lake: Lake) -> None:
    """Few large files instead of many small ones: same rows, same offsets, and old versions still readable."""
    for n in range(12):
        land_range(lake, n * 10, n * 10 + 10, day=n // 6)
    before, version = read(lake, "interactions").sort_by("kafka_offset"), lake.version("interactions")

    assert compact(lake, "interactions", 2**20) == 10
    assert compact(lake, "interactions", 2**20) == 0

    assert read(lake, "interactions").sort_by("kafka_offset").equals(before)
    assert read(lake, "interactions", version).num_rows == 120
    assert lake.committed("interactions", COMMITTED) == 120
    assert audit(lake).incidents == ()


def test_what_an_archiver_wrote_fast_is_compressed_well_by_compaction(lake: Lake) -> None:
    """A fresh file lives until the next night: it is written cheaply, and rewritten well."""
    for n in range(2):
        land_range(lake, n * 10, n * 10 + 10)
    assert codecs(lake) == {"SNAPPY"}

    compact(lake, "interactions", 2**20)

    assert codecs(lake) == {"ZSTD"}


def test_compaction_beside_appends_loses_nothing(lake: Lake) -> None:
    """The archiver goes on while files are joined."""
    for n in range(6):
        land_range(lake, n, n + 1)
    with ThreadPoolExecutor(2) as pool:
        appends = pool.submit(lambda: [land_range(lake, n, n + 1) for n in range(6, 30)])
        joins = [pool.submit(compact, lake, "interactions", 2**20) for _ in range(3)]
        appends.result()
        for join in joins:
            join.result()

    assert offsets(lake) == list(range(30))


def test_large_files_are_left_alone(lake: Lake) -> None:
    """A file of half the target or more is never rewritten: each row is rewritten a bounded number of times."""
    land_range(lake, 0, 50)
    land_range(lake, 50, 100)
    size = max(file.size for file in files(lake.open("interactions")))

    assert compact(lake, "interactions", size) == 0


def test_vacuum_keeps_what_is_protected(lake: Lake) -> None:
    """Orphans and old files go; the version that a dataset refers to stays readable."""
    for n in range(4):
        land_range(lake, n, n + 1)
    protected = lake.version("interactions")
    orphan = Path(lake.uri("interactions")) / "ingest_date=2026-01-05" / ("0" * 64 + ".parquet")
    orphan.write_bytes(b"left by a kill")
    compact(lake, "interactions", 2**20)

    vacuum(lake, "interactions", 0, [protected])
    assert not orphan.exists()
    assert read(lake, "interactions", protected).num_rows == 4

    vacuum(lake, "interactions", 0, [])
    assert len(list(Path(lake.uri("interactions")).rglob("*.parquet"))) == 1
    assert offsets(lake) == [0, 1, 2, 3]


def test_the_log_of_versions_that_nobody_reads_goes(lake: Lake) -> None:
    """From the checkpoint before the oldest protected version on all is readable; marks and the audit do not change."""
    for n in range(120):
        land_range(lake, n, n + 1)

    log = Path(lake.uri("interactions")) / "_delta_log"
    assert tidy_log(lake, "interactions", 1, [60]) == 0  # all of it is younger than an hour
    before = len(list(log.iterdir()))
    gone = tidy_log(lake, "interactions", 0, [60])

    assert gone >= 49
    assert len(list(log.iterdir())) == before - gone
    assert [read(lake, "interactions", version).num_rows for version in (60, 90, lake.version("interactions"))] == [
        60, 90, 120,
    ]  # fmt: skip
    with pytest.raises(TableMissing, match="version 20 of table 'interactions' is no longer kept"):
        read(lake, "interactions", 20)
    vacuum(lake, "interactions", 0, [20, 60])
    assert tidy_log(lake, "interactions", 0, [20, 60]) == 0
    assert lake.committed("interactions", COMMITTED) == 120
    land_range(lake, 120, 130)
    assert audit(lake).incidents == ()


@pytest.mark.parametrize(("commits", "interval"), [(0, 50), (1_200, 50), (1_201, 100), (4_800, 200), (172_800, 500)])
def test_a_table_is_checkpointed_about_once_an_hour(commits: int, interval: int) -> None:
    """Of a quiet table a reader replays few commits; of a busy one a checkpoint is not most of what is written."""
    assert interval_for(commits) == interval


def test_the_interval_of_a_table_is_changed_only_where_it_is_another(lake: Lake) -> None:
    """An archiver beside it goes on: its next commit is made on the table as it is now."""
    land_range(lake, 0, 10)
    create(lake, "interactions").alter.set_table_properties({INTERVAL: "200"})
    version = lake.version("interactions")

    assert [space_checkpoints(lake, "interactions") for _ in range(2)] == [50, 50]
    assert lake.version("interactions") == version + 1
    land_range(lake, 10, 20)
    assert offsets(lake) == list(range(20))


def test_erased_rows_leave_the_disk_at_once(lake: Lake) -> None:
    """Deleting rewrites only files that hold such rows, and the old bytes are gone, protected version or not."""
    land_range(lake, 0, 2, user="ann")
    land_range(lake, 2, 4, user="bob")
    kept = {file.path for file in files(lake.open("interactions"))}
    version = lake.version("interactions")

    gone = delete_rows(lake, "interactions", pc.field("user_id") == "ann")

    assert len(gone) == 1
    assert offsets(lake) == [2, 3]
    assert {file.path for file in files(lake.open("interactions"))} == kept - set(gone)
    assert not any(b"ann" in path.read_bytes() for path in Path(lake.uri("interactions")).rglob("*.parquet"))
    vacuum(lake, "interactions", 0, [version])
    assert offsets(lake) == [2, 3]


def test_old_days_can_be_dropped(lake: Lake) -> None:
    """Retention by age drops whole ingest days."""
    for n in range(3):
        land_range(lake, n, n + 1, day=n)

    drop_days(lake, "interactions", date(2026, 1, 7))

    assert offsets(lake) == [2]


def test_a_table_grows_by_columns_without_a_rewrite(lake: Lake) -> None:
    """A table of an older version gets the new columns; its files stay as they are and read as null there."""
    old = rows([0]).drop_columns(["extra", "kafka_topic_id"])
    write_deltalake(lake.uri("interactions"), old, partition_by=["ingest_date"])
    before = lake.open("interactions").file_uris()

    append(lake, "interactions", rows([1]), {})

    assert set(before) < set(lake.open("interactions").file_uris())
    assert read(lake, "interactions").sort_by("kafka_offset")["kafka_topic_id"].to_pylist() == [None, "t"]
    assert query(lake, "SELECT count(*) n FROM interactions", lake.versions(["interactions"])).to_pylist() == [{"n": 2}]


def test_a_breaking_change_is_refused_with_the_difference(lake: Lake) -> None:
    """A column whose type changed is named with both types, before anything is written."""
    old = rows([0]).set_column(0, "id", pa.array([7], pa.int64()))
    write_deltalake(lake.uri("interactions"), old, partition_by=["ingest_date"])

    with pytest.raises(SchemaMismatch, match=r"id: stored .*long.*, now .*string"):
        create(lake, "interactions")


def test_filters_on_any_column_find_their_rows(lake: Lake) -> None:
    """Statistics in the log never make a reader skip what it asked for."""
    land_range(lake, 0, 5, user="ann")
    land_range(lake, 5, 9, user="bob")
    for condition, count in {
        "user_id = 'ann'": 5, "user_id IS NULL": 0, "extra IS NULL": 9, "kafka_offset >= 7": 2, "id = 'id-3'": 1,
        "time >= TIMESTAMPTZ '2026-01-05 09:00:00Z'": 9, "time > TIMESTAMPTZ '2026-01-05 09:00:00Z'": 0,
    }.items():  # fmt: skip
        sql = f"SELECT count(*) AS n FROM interactions WHERE {condition}"
        assert query(lake, sql, lake.versions(["interactions"])).to_pylist() == [{"n": count}], condition


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_filtered(lake: Lake, name: str) -> None:
    """A row of nulls wherever they are allowed is found by its identity in every table."""
    values: dict[Any, Any] = {
        pa.string(): "x",
        pa.int32(): 1,
        pa.int64(): 1,
        pa.float64(): 0.5,
        pa.date32(): NOW.date(),
    }
    row = {
        field.name: values.get(field.type, [0.5] if pa.types.is_list(field.type) else NOW)
        for field in TABLES[name].schema
        if not field.nullable
    }
    append(lake, name, to_rows(name, [row]), {})
    key = TABLES[name].identity[0]
    filled = next(column for column in TABLES[name].identity if column in row)

    dataset = lake.open(name).to_pyarrow_dataset()
    assert dataset.to_table(filter=pc.field(filled) == row[filled]).num_rows == 1, key
    for empty in (field.name for field in TABLES[name].schema if field.nullable):
        assert dataset.to_table(filter=pc.field(empty).is_null()).num_rows == 1, empty


def test_names_and_absences_are_errors_with_names(lake: Lake) -> None:
    """An unknown table and a table that is not there yet are two things."""
    with pytest.raises(LakeError, match="there is no table 'nope'"):
        lake.uri("nope")
    with pytest.raises(TableMissing):
        lake.open("interactions")
    assert lake.version("interactions") == -1
    assert read(lake, "interactions").num_rows == 0


def test_a_table_can_be_made_by_many_at_once(tmp_path: Path) -> None:
    """Whoever comes while another makes the table waits for it; all then write to one table."""
    with ThreadPoolExecutor(6) as pool:
        for n in range(20):
            lake = Lake(str(tmp_path / str(n)))
            made = list(pool.map(lambda _, lake=lake: create(lake, "ledger"), range(6)))
            assert len(made) == 6
            assert read(lake, "ledger").num_rows == 0


def test_a_process_may_end_right_after_a_read(lake: Lake) -> None:
    """No thread of Arrow's is left that needs Python's lock while the interpreter goes: that aborted one in two."""
    land_range(lake, 0, 200)
    words = f"from streams.lake import Lake, query; query.read(Lake({lake.root!r}), 'interactions')"

    codes = {subprocess.run([sys.executable, "-c", words], check=False, timeout=60).returncode for _ in range(6)}

    assert codes == {0}
