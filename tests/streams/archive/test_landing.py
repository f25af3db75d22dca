"""Any order of producing, landing, crashing, waking and compacting leaves each offset in the lake exactly once."""

from __future__ import annotations

import contextlib
import tempfile
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import HealthCheck, event, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flows.testing.events import interaction
from schemas.codec import encode
from schemas.errors import CommitConflict, LakeError, SchemaMismatch
from schemas.settings import ArchiveSettings
from schemas.topics import INTERACTIONS, Topic
from streams.archive.batch import Batch, absent, make_batch
from streams.archive.landing import Landing, Start
from streams.lake import Lake
from streams.lake.append import Writer, committed_id
from streams.lake.audit import audit
from streams.lake.maintain import compact
from streams.lake.query import read
from tests.support.records import TIME_MS, Record

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
PARTITIONS = (0, 1)


Log = dict[int, list[Record]]


class Worker:
    """An archiver without Kafka: it reads the log from where the table says, and lands what it read."""

    def __init__(self, lake: Lake) -> None:
        self.landing = Landing(lake, check=lambda *_: None)
        self.seek()

    def seek(self) -> None:
        """Go to the table's committed offsets."""
        starts = self.landing.starts(INTERACTIONS, "t", list(PARTITIONS)).result()
        self.committed = {number: start.committed for number, start in starts.items()}
        self.refused = frozenset((number, offset) for number, start in starts.items() for offset in start.refused)
        self.batch: Batch | None = None

    def read(self, log: Log, count: int) -> None:
        """Take up to `count` records of each partition into a batch."""
        start = {number: self.committed[number] or 0 for number in PARTITIONS}
        records = [record for n in PARTITIONS for record in log[n][start[n] : start[n] + count]]
        self.batch = make_batch(INTERACTIONS, "t", records, start, NOW, ArchiveSettings(), self.refused)

    def land(self) -> None:
        """Commit the batch, or find that somebody else was first."""
        with contextlib.suppress(CommitConflict):
            self.submit().result()
        self.seek()

    def submit(self) -> Future[None]:
        """Hand the batch over."""
        assert self.batch is not None
        return self.landing.submit(INTERACTIONS, "t", self.batch, self.committed)

    def die(self) -> None:
        """Leave nothing running."""
        self.landing.close(5)


class ExactlyOnce(RuleBasedStateMachine):
    """Two workers, each as good as a zombie of the other, over one log and one lake."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.lake = Lake(Path(self._folder.name) / "lake")
        self.log: Log = {number: [] for number in PARTITIONS}
        self.workers: list[Worker] = []
        self.number = 0

    @initialize()
    def two_workers(self) -> None:
        self.workers = [Worker(self.lake), Worker(self.lake)]

    # One rule, not seven: Hypothesis switches rules off at random for a whole example, and a run without `consume` or
    # without `commit` shows nothing.
    @rule(
        move=st.sampled_from(["consume"] * 3 + ["commit"] * 4 + ["produce", "tidy", "crash", "rebalance",
                                                                 "crash_between_the_commits"]),
        which=st.sampled_from([0, 1]),
        kinds=st.lists(st.booleans(), min_size=1, max_size=4),
    )  # fmt: skip
    def move(self, move: str, which: int, kinds: list[bool]) -> None:
        """Something happens to a partition, or to a worker."""
        if move == "produce":
            self.produce(which, kinds)
        elif move == "consume":
            self.produce(which, kinds)
            self.workers[which].read(self.log, len(kinds))
        elif move == "tidy":
            for name in ("interactions", "dead_letters"):
                compact(self.lake, name, 2**20)
        else:
            getattr(self, move)(which)

    def produce(self, partition: int, kinds: list[bool]) -> None:
        """Good and bad events come."""
        for good in kinds:
            value = encode(interaction(self.number)) if good else b"{"
            self.log[partition].append(Record(len(self.log[partition]), value, partition=partition, time_ms=TIME_MS))
            self.number += 1

    def commit(self, which: int) -> None:
        """A worker lands what it read, however long ago that was, at the offsets that it knew then."""
        if self.workers[which].batch:
            event("commits a batch")
            self.workers[which].land()

    def crash(self, which: int) -> None:
        """A worker is killed before it commits anything; another takes its place."""
        self.workers[which].die()
        self.workers[which] = Worker(self.lake)

    def crash_between_the_commits(self, which: int) -> None:
        """A worker is killed after the dead letters were committed and before the rows were."""
        worker = self.workers[which]
        if worker.batch and worker.batch.dead and self._is_current(worker):
            event("is killed between the commits")
            worker.landing._land_dead(INTERACTIONS, "t", worker.batch)
        self.crash(which)

    def rebalance(self, which: int) -> None:
        """A worker drops what it holds and goes to the committed offsets."""
        self.workers[which].seek()

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        """What the committed offsets cover is there once; what they do not cover is not there."""
        if not self.workers or not self.lake.exists("interactions"):
            return
        committed = {
            n: self.lake.committed("interactions", committed_id(INTERACTIONS.name, "t", n)) or 0 for n in PARTITIONS
        }
        stored = sorted(_places(read(self.lake, "interactions")))
        letters = sorted(place for place in _places(read(self.lake, "dead_letters")) if place[1] < committed[place[0]])
        expected = [(n, o) for n in PARTITIONS for o in range(committed[n])]
        assert sorted([*stored, *letters]) == expected
        assert all((self.log[n][o].value() == b"{") == ((n, o) in letters) for n, o in expected)

    def teardown(self) -> None:
        for worker in self.workers:
            worker.seek()
            while any(len(self.log[n]) > (worker.committed[n] or 0) for n in PARTITIONS):
                worker.read(self.log, 5)
                worker.land()
        if self.workers:
            self.nothing_is_lost_or_doubled()
            assert audit(self.lake).incidents == ()
        for worker in self.workers:
            worker.die()
        self._folder.cleanup()

    def _is_current(self, worker: Worker) -> bool:
        committed = {
            n: self.lake.committed("interactions", committed_id(INTERACTIONS.name, "t", n)) for n in PARTITIONS
        }
        return worker.committed == committed


def _places(table: Any) -> list[tuple[int, int]]:
    return list(zip(table["kafka_partition"].to_pylist(), table["kafka_offset"].to_pylist(), strict=True))


TestExactlyOnce = ExactlyOnce.TestCase
TestExactlyOnce.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def log() -> Log:
    """Ten events in partition 0, the fourth bad."""
    values = [encode(interaction(n)) for n in range(10)]
    values[3] = b"nonsense"
    return {0: [Record(n, value, time_ms=TIME_MS) for n, value in enumerate(values)], 1: []}


def test_a_commit_that_fails_is_tried_again(lake: Lake, log: Log, tmp_path: Path) -> None:
    """A store that is away for a moment costs time, not events."""
    worker = Worker(lake)
    worker.read(log, 10)
    moved, root = tmp_path / "away", Path(lake.root)
    root.rename(moved)
    root.write_text("a file where the folder was")
    future = worker.submit()
    with pytest.raises(TimeoutError):
        future.result(0.5)
    root.unlink()
    moved.rename(root)

    future.result(30)
    assert read(lake, "interactions").num_rows == 9
    assert read(lake, "dead_letters")["kafka_offset"].to_pylist() == [3]
    worker.die()


def test_stopping_gives_up_on_a_store_that_stays_away(lake: Lake, log: Log) -> None:
    """A stopped archiver does not wait for ever; what it could not land is read again at the next start."""
    worker = Worker(lake)
    worker.read(log, 10)
    root = Path(lake.root)
    root.rename(root.with_name("away"))
    root.write_text("")
    future = worker.submit()

    assert worker.landing.close(10)
    with pytest.raises(LakeError, match="stopped before interactions could be committed"):
        future.result(0)


def test_a_topic_made_anew_is_not_mixed_with_the_old(lake: Lake, log: Log) -> None:
    """Nothing is committed once the topic has another id; the new topic begins with offsets of its own."""

    def gone(topic: Topic, topic_id: str) -> None:
        raise CommitConflict("made anew")

    landing = Landing(lake, check=gone)
    batch = make_batch(INTERACTIONS, "t", log[0], {0: 0}, NOW, ArchiveSettings())
    with pytest.raises(CommitConflict):
        landing.submit(INTERACTIONS, "t", batch, {0: None}).result()
    assert landing.starts(INTERACTIONS, "another", [0]).result()[0].committed is None
    assert read(lake, "dead_letters").num_rows == 0
    landing.close(5)


def test_a_dead_letter_stays_one_under_another_version(lake: Lake, log: Log) -> None:
    """A kill between the two commits, then an upgrade that would accept the event: it is not stored twice."""
    worker = Worker(lake)
    worker.read(log, 10)
    assert worker.batch
    worker.landing._land_dead(INTERACTIONS, "t", worker.batch)
    worker.die()
    log[0][3]._value = encode(interaction(3))

    upgraded = Worker(lake)
    upgraded.read(log, 10)
    upgraded.land()
    upgraded.die()

    assert read(lake, "interactions").num_rows == 9
    assert audit(lake).incidents == ()


class Hiccup:
    """A store that refuses the first commit, before anything of it was done."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, *_: Any) -> None:
        self.asked += 1
        if self.asked == 1:
            raise OSError("no space left on device")


class Mute(Writer):
    """A store that makes the commit and loses the answer."""

    def land(self, rows: Any, spans: Any) -> None:
        super().land(rows, spans)
        raise LakeError("the connection was closed")


def test_a_commit_that_failed_is_not_believed(lake: Lake, log: Log) -> None:
    """[refused, asked what is there, committed]: the table has not moved, so that the batch is landed after all."""
    landing = Landing(lake, check=(store := Hiccup()))
    batch = make_batch(INTERACTIONS, "t", log[0], {0: 0}, NOW, ArchiveSettings())

    landing.submit(INTERACTIONS, "t", batch, {0: None}).result(30)

    assert store.asked == 2
    assert read(lake, "interactions").num_rows == 9
    assert lake.committed("interactions", committed_id(INTERACTIONS.name, "t", 0)) == 10
    landing.close(5)


def test_a_commit_whose_answer_was_lost_is_not_made_again(lake: Lake, log: Log) -> None:
    """[committed, answer lost, asked what is there]: the table has moved: done, and no conflict with itself."""
    landing = Landing(lake, check=lambda *_: None)
    batch = make_batch(INTERACTIONS, "t", log[0], {0: 0}, NOW, ArchiveSettings())
    landing._writers["interactions"] = Mute(lake, "interactions")

    landing.submit(INTERACTIONS, "t", batch, {0: None}).result(30)

    assert read(lake, "interactions").num_rows == 9
    assert read(lake, "dead_letters").num_rows == 1
    assert audit(lake).incidents == ()
    landing.close(5)


def test_dead_letters_come_to_rest_before_the_rows(lake: Lake, log: Log) -> None:
    """Where the rows fail for good their dead letters are there already: the next start knows and skips them."""
    landing = Landing(lake, check=lambda *_: None)
    batch = make_batch(INTERACTIONS, "t", log[0], {0: 0}, NOW, ArchiveSettings())
    other = make_batch(INTERACTIONS, "t", log[0][:3], {0: 0}, NOW, ArchiveSettings())
    landing.submit(INTERACTIONS, "t", other, {0: None}).result(30)

    with pytest.raises(CommitConflict):
        landing.submit(INTERACTIONS, "t", batch, {0: None}).result(30)

    assert read(lake, "interactions").num_rows == 3
    assert read(lake, "dead_letters")["kafka_offset"].to_pylist() == [3]
    assert landing.starts(INTERACTIONS, "t", [0]).result(30)[0] == Start(3, frozenset({3}))
    landing.close(5)


def test_a_table_of_another_version_is_an_error_at_once(lake: Lake, log: Log) -> None:
    """No trying again changes a column's type: whoever waits for the committed offsets or for a batch is told."""
    write_deltalake(lake.uri("interactions"), pa.table({"id": pa.array([7], pa.int64())}))
    landing = Landing(lake, check=lambda *_: None)
    batch = make_batch(INTERACTIONS, "t", log[0][:3], {0: 0}, NOW, ArchiveSettings())

    for future in (
        landing.starts(INTERACTIONS, "t", [0]),
        landing.submit(INTERACTIONS, "t", batch, {0: None}),
    ):
        with pytest.raises(SchemaMismatch, match="id: stored"):
            future.result(20)
    landing.close(5)


@pytest.mark.parametrize(("first", "second"), [((4, 8), (4, 9)), ((4, 8), (4, 8)), ((0, 1), (0, 3)), ((4, 9), (4, 8))])
def test_a_gap_that_grew_since_a_kill_is_accounted_for_once(
    lake: Lake, first: tuple[int, int], second: tuple[int, int]
) -> None:
    """Killed between its two commits, then more markers of transactions: no offset is left out or told twice."""

    def gap(start: int, after: int) -> Batch:
        return absent(INTERACTIONS, "t", {0: start}, {0: after}, NOW)

    landing = Landing(lake, check=lambda *_: None)
    landing._land_dead(INTERACTIONS, "t", gap(*first))  # and killed

    landing.submit(INTERACTIONS, "t", gap(*second), {0: None}).result()

    letters = read(lake, "dead_letters").to_pylist()
    told = [offset for row in letters for offset in range(row["kafka_offset"], row["kafka_offset"] + row["offsets"])]
    assert sorted(told) == list(range(first[0], max(first[1], second[1])))
    assert landing.close(10)
