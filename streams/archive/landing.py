"""Commits batches to the lake, exactly once, on a thread of its own.

For each batch: dead letters first, then the rows with the offsets behind them (docs/guarantees.md). While Parquet,
snappy, SHA-256 and the commit run outside Python's lock, the archiver decodes the next batch. Go on to
`streams/archive/archiver.py`.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import msgspec

from schemas.errors import CommitConflict, LakeError, SchemaMismatch
from schemas.topics import Topic
from streams.archive.batch import Batch, dead_table
from streams.lake import Lake
from streams.lake.append import Span, Writer, committed_id, dead_offsets, start_id
from streams.logs import about

_log = logging.getLogger(__name__)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
"""Between tries of a commit that fails: full disks and absent stores last seconds to hours, and nothing is lost."""


class Start(msgspec.Struct, frozen=True):
    """Where one partition begins or goes on."""

    committed: int | None
    """The next offset to archive, as the table says; None: nothing was ever archived."""
    refused: frozenset[int] = frozenset()
    """Offsets from the committed one on that already are dead letters: a kill fell between the two commits."""


class Landing:
    """Commits batches one after the other. `submit` never blocks; at most one batch should be under way."""

    def __init__(self, lake: Lake, *, check: Callable[[Topic, str], None]) -> None:
        """`check` is called right before each commit and raises CommitConflict where the topic was made anew."""
        self._lake = lake
        self._check = check
        self._writers: dict[str, Writer] = {}
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        # A daemon: a commit that hangs in an object store must not keep a stopped archiver alive.
        self._thread = threading.Thread(target=self._work, name="landing", daemon=True)
        self._thread.start()

    def submit(self, topic: Topic, topic_id: str, batch: Batch, start: Mapping[int, int | None]) -> Future[None]:
        """Land a batch; `start` is each partition's committed offset that it builds on.

        The future raises CommitConflict where another archiver was first, SchemaMismatch where the table is another
        version's. Anything else is retried until it works or `close` is called.
        """

        def land() -> None:
            with about(batch=batch.span(topic)):
                self._land(topic, topic_id, batch, start)

        return self._do(land)

    def starts(self, topic: Topic, topic_id: str, partitions: list[int]) -> Future[dict[int, Start]]:
        """Where the partitions go on, as the lake says now; asked again until the lake answers or `close` is called."""
        return self._do(lambda: self._starts(topic, topic_id, partitions))

    def close(self, timeout_s: float) -> bool:
        """Finish what was submitted, without retries; False where that takes longer."""
        self._stop.set()
        self._jobs.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _do(self, job: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._jobs.put((job, future))
        return future

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)

    def _starts(self, topic: Topic, topic_id: str, partitions: list[int]) -> dict[int, Start]:
        pause = FIRST_PAUSE_S
        while True:
            try:
                return self._read_starts(topic, topic_id, partitions)
            except SchemaMismatch:
                raise
            except Exception as error:
                _log.warning("the committed offsets of %s cannot be read, trying again: %s", topic.table, error)
                if self._stop.wait(pause):
                    raise LakeError(
                        f"stopped before the committed offsets of {topic.table} could be read: {error}"
                    ) from error
                pause = min(2 * pause, LONGEST_PAUSE_S)

    def _read_starts(self, topic: Topic, topic_id: str, partitions: list[int]) -> dict[int, Start]:
        main, letters = self._reopen(topic.table), self._reopen("dead_letters")
        starts = {}
        for partition in partitions:
            app = committed_id(topic.name, topic_id, partition)
            committed, dead = main.committed(app), letters.committed(app)
            refused: frozenset[int] = frozenset()
            if dead is not None and dead > (committed or 0):
                refused = dead_offsets(letters.handle, topic.name, topic_id, partition, committed or 0)
            starts[partition] = Start(committed, refused)
        return starts

    def _land(self, topic: Topic, topic_id: str, batch: Batch, start: Mapping[int, int | None]) -> None:
        spans = {
            committed_id(topic.name, topic_id, partition): Span(start[partition], after)
            for partition, after in batch.next.items()
            if start[partition] != after
        }
        for partition in [number for number in batch.next if start[number] is None]:
            spans[start_id(topic.name, topic_id, partition)] = Span(None, batch.first[partition])
        pause = FIRST_PAUSE_S
        while spans:
            try:
                self._check(topic, topic_id)
                if batch.dead:
                    self._land_dead(topic, topic_id, batch)
                self._writer(topic.table).land(batch.rows, spans)
            except (CommitConflict, SchemaMismatch):
                self._writers.clear()
                raise
            except Exception as error:
                _log.warning("commit to %s failed, nothing is lost, trying again: %s", topic.table, error)
                if self._stop.wait(pause):
                    raise LakeError(f"stopped before {topic.table} could be committed: {error}") from error
                pause = min(2 * pause, LONGEST_PAUSE_S)
                if self._landed(topic.table, spans):
                    return
            else:
                return

    def _land_dead(self, topic: Topic, topic_id: str, batch: Batch) -> None:
        """The batch's dead letters, but for those that were committed before a kill or by a try that seemed to fail."""
        writer = self._reopen("dead_letters")
        letters, spans = [], {}
        for partition, after in batch.next.items():
            mine = [letter for letter in batch.dead if letter["kafka_partition"] == partition]
            committed = writer.committed(committed_id(topic.name, topic_id, partition))
            if mine and committed is not None and committed > mine[0]["kafka_offset"]:
                there = dead_offsets(writer.handle, topic.name, topic_id, partition, mine[0]["kafka_offset"])
                mine = [rest for letter in mine if (rest := _rest(letter, there))]
            if mine:
                letters += mine
                spans[committed_id(topic.name, topic_id, partition)] = Span(committed, max(after, committed or 0))
        if spans:
            writer.land(dead_table(letters), spans)

    def _landed(self, table: str, spans: Mapping[str, Span]) -> bool:
        """Whether a commit of unknown outcome was made; False also where the table cannot be read."""
        try:
            writer = self._reopen(table)
        except Exception as error:
            _log.warning("table %s cannot be read: %s", table, error)
            return False
        return all(writer.committed(app) == span.next for app, span in spans.items())

    def _writer(self, table: str) -> Writer:
        if table not in self._writers:
            self._writers[table] = Writer(self._lake, table)
        return self._writers[table]

    def _reopen(self, table: str) -> Writer:
        self._writers.pop(table, None)
        return self._writer(table)


def _rest(letter: dict[str, Any], there: frozenset[int]) -> dict[str, Any] | None:
    """What of a dead letter is not known yet: a gap may have grown since a kill between the two commits."""
    first, after = letter["kafka_offset"], letter["kafka_offset"] + letter["offsets"]
    begin = next((offset for offset in range(first, after) if offset not in there), after)
    return None if begin == after else {**letter, "kafka_offset": begin, "offsets": after - begin}
