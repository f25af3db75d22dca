"""What `benchmarks/ingest.py --peers` concludes from counts, and how it counts: CPU, rows, refusals. No peer is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from benchmarks.peers import beside, fetch
from benchmarks.peers.counts import DeltaSink, iceberg_snapshot, parquet_count
from benchmarks.peers.peer import Count, Job, fields
from benchmarks.peers.tree import Tree
from benchmarks.peers.verdicts import Killed, Spoiled, complaints, of_killed, of_spoiled

ROWS = pa.table({"id": ["a", "b", "b", None], "input_tokens": [1, None, 2, None]})
BURN = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
"""A third of a second of CPU."""


def job(folder: Path) -> Job:
    """Some run."""
    return Job("run", "nowhere:9092", "llm.interactions", 100, folder)


@pytest.mark.parametrize(
    ("found", "complained", "stopped", "words"),
    [
        (Count(rows=90, ids=90, dead=10), 0, False, "dead letters"),
        (Count(rows=90, ids=90), 10, False, "dropped, in its log"),
        (Count(rows=90, ids=90), 9, False, "dropped, not in its log"),
        (Count(rows=100, ids=90, blank=10), 0, False, "rows of NULLs, not in its log"),
        (Count(rows=100, ids=100, untyped=10), 0, False, "NULL in its place, not in its log"),
        (Count(rows=100, ids=100), 0, False, "landed as it is"),
        (Count(rows=80, ids=80, dead=10), 0, False, "80 rows of 90 good events"),
        (Count(), 1, True, "it stops, nothing landed"),
        (Count(rows=40, ids=40, dead=3), 1, True, "it stops, 40 of 90 rows landed, 3 dead letters"),
    ],
)
def test_broken_events_are_judged_by_what_a_reader_finds(
    found: Count, complained: int, stopped: bool, words: str
) -> None:
    """Ten of a hundred events are broken: kept, dropped, landed as something else, or the end of the run."""
    assert of_spoiled(Spoiled(100, 10, found, complained, stopped)) == words


@pytest.mark.parametrize(
    ("before", "found", "words"),
    [
        (20, Count(rows=100, ids=100), "all once, after 4 s"),
        (20, Count(rows=120, ids=100), "20 twice, after 4 s"),
        (20, Count(rows=99, ids=97), "3 lost, 2 twice, after 4 s"),
        (100, Count(rows=100, ids=100), "not tried: all had landed before the kill"),
    ],
)
def test_a_kill_is_judged_by_ids(before: int, found: Count, words: str) -> None:
    """What is lost is told from what is there twice; a kill that came too late shows nothing."""
    assert of_killed(Killed(100, before, 4.2, found)) == words


def test_a_log_complains_by_the_event() -> None:
    """Warnings that an event could not be read count, others and what is no warning do not."""
    log = """
        2026-01-05 [WARN] - app: Deserialization failed - partition 0, offset 7
        [main] WARN org.apache.Parser - cannot parse JSON
        [main] INFO org.apache.Parser - parsed JSON
        2026-01-05 [ERROR] - app: Latency timer expired.
    """

    assert complaints(log) == 2


def test_rows_of_a_delta_table_are_counted_once_landed(tmp_path: Path) -> None:
    """Nothing before the first commit; then all live files, by the log and by reading."""
    sink, run = DeltaSink(), job(tmp_path)
    assert (sink.landed(run), sink.count(run)) == (0, Count())

    write_deltalake(str(tmp_path / "table"), ROWS)
    write_deltalake(str(tmp_path / "table"), ROWS, mode="append")

    assert sink.landed(run) == 8
    assert sink.count(run) == Count(rows=8, ids=2, blank=2, untyped=2)
    assert sink.size(run) == sum(file.stat().st_size for file in (tmp_path / "table").glob("*.parquet"))


def test_rows_of_files_are_counted(tmp_path: Path) -> None:
    """A folder of Parquet files is a table without a log."""
    pq.write_table(ROWS, tmp_path / "1.parquet")

    assert parquet_count([str(tmp_path / "1.parquet")]) == Count(rows=4, ids=2, blank=1, untyped=1)


def test_rows_of_an_iceberg_table_are_in_its_newest_snapshot(tmp_path: Path) -> None:
    """The hint names the metadata, and these the snapshot that counts; without one there are no rows."""
    metadata = tmp_path / "metadata"
    assert iceberg_snapshot(tmp_path) == {"rows": 0, "bytes": 0}

    metadata.mkdir()
    (metadata / "version-hint.text").write_text("2\n")
    snapshots = [
        {"snapshot-id": number, "summary": {"total-records": str(number * 10), "total-files-size": str(number * 100)}}
        for number in (1, 2)
    ]
    (metadata / "v2.metadata.json").write_text(json.dumps({"current-snapshot-id": 2, "snapshots": snapshots}))

    assert iceberg_snapshot(tmp_path) == {"rows": 20, "bytes": 200}


def test_cpu_is_that_of_all_that_a_program_started(tmp_path: Path) -> None:
    """A child whose parent has ended counts too, and so does one that its parent waited for."""
    orphaned = f"import os\nif os.fork() == 0:\n    exec({BURN!r})\n    open('{tmp_path}/done', 'w').close()"
    waited = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"

    tree = Tree([sys.executable, "-c", orphaned], tmp_path / "log")
    while not (tmp_path / "done").exists():
        time.sleep(0.01)
    assert tree.kill() >= 0.3

    tree = Tree([sys.executable, "-c", waited], tmp_path / "log")
    while tree.running():
        time.sleep(0.01)
    assert tree.stop() >= 0.3
    assert tree.status == 0


def test_orphans_are_adopted_only_meanwhile(tmp_path: Path) -> None:
    """What another loses after a tree has ended is not left to us as a zombie."""
    with Tree([sys.executable, "-c", ""], tmp_path / "log"):
        pass
    orphan = "import os, time\nif os.fork() == 0:\n    time.sleep(.3); print(os.getppid(), flush=True)"

    told = subprocess.run([sys.executable, "-c", orphan], stdout=subprocess.PIPE, check=True, text=True).stdout

    assert int(told) != os.getpid()


def test_a_program_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    """SIGTERM first; what hears none is ended, and what it said is in the log."""
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    tree = Tree([sys.executable, "-c", deaf], tmp_path / "log")
    while "deaf" not in (tmp_path / "log").read_text():
        time.sleep(0.01)

    tree.stop(patience_s=0.1)

    assert tree.status == -9
    with pytest.raises(ProcessLookupError):
        os.killpg(tree.pid, 0)


def test_what_is_not_at_hand_is_named_with_the_way_to_it(tmp_path: Path) -> None:
    """A program that the machine lacks, or the command that fetches; None where all is there."""
    assert fetch.lacking("spark", "no-such-program", of=tmp_path) == "no-such-program not on the PATH"
    assert fetch.lacking("spark", of=tmp_path / "lib") == "not fetched: python benchmarks/peers/fetch.py spark"
    assert fetch.lacking("spark", of=tmp_path) is None


def test_the_archiver_is_always_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without any peer there is still a run: each is named as missing, and ours goes on."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    for module in ("iceberg", "spark", "quix_sink"):
        monkeypatch.setattr(f"benchmarks.peers.{module}.CACHE", tmp_path)

    peers, absent = beside.at_hand(beside.PEERS)

    assert peers == [beside.OURS]
    assert set(absent) == {peer.name for peer in beside.PEERS} - {beside.OURS.name}


def test_a_warm_event_costs_the_slope() -> None:
    """Start-up is in both runs and cancels; ratios are of the same round."""
    ours = beside.Figures(larger=[5.0, 7.0], smaller=[3.0, 3.0], empty=[2.0, 1.0])
    theirs = beside.Figures(larger=[40.0, 42.0], smaller=[34.0, 34.0], empty=[30.0, 30.0], size=430.4)

    assert ours.slopes(300_000) == pytest.approx([10.0, 20.0])
    assert beside.summary(theirs, ours, 300_000) == {
        "cpu_s": [40.0, 42.0], "startup_cpu_s": [30.0, 30.0], "slope_us": [30.0, 40.0], "slope_vs_archiver": 2.5,
        "cpu_vs_archiver": 7.0, "bytes_per_event": 430,
    }  # fmt: skip


def test_ten_events_are_broken_and_no_others() -> None:
    """A cut one is no JSON; a wrong type is JSON with a word where a number belongs."""
    record = b'{"id":"x","input_tokens":7,"output_tokens":3}'

    for spoil in (beside.cut, beside.typed):
        assert sum(spoil(number, record) != record for number in range(beside.SPOILED)) == beside.BAD
    with pytest.raises(json.JSONDecodeError):
        json.loads(beside.cut(7, record))
    assert json.loads(beside.typed(7, record)) == {"id": "x", "input_tokens": "many", "output_tokens": 3}


def test_peers_get_the_events_own_columns() -> None:
    """Nested values are text; where an event came from in Kafka is each sink's own business."""
    names = [field.split(" ")[0] for field in fields().split(", ")]

    assert names[:2] == ["id", "time"]
    assert "input_messages STRING" in fields()
    assert not {"extra", "kafka_offset"} & set(names)
