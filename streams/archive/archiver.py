"""Kafka to lake, exactly once: the hot path.

    consume ──▶ decode ──▶ buffer per topic ──▶ landing thread: files, dead letters, rows + committed offsets
       ▲                                                     │
       └────── seek to the committed offsets ◀── another was first

Where to go on is what the table says, never what Kafka remembers; Kafka's committed offsets are a lag gauge. A kill at
any moment costs the work since the last commit, nothing else. Several archivers share the partitions by consumer
group. Go on to `streams/archive/batch.py` and `streams/archive/landing.py`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import UTC, datetime
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.errors import BrokerError, CommitConflict, FlywheelError, LakeError, OffsetsLost
from schemas.settings import Settings
from schemas.topics import ARCHIVED, BY_NAME, Topic
from streams.admin import Admin, Offsets, client_options
from streams.archive import metrics
from streams.archive.batch import absent, join, lost, make_batch, unreadable
from streams.archive.buffer import Buffer, is_due, members_of
from streams.archive.landing import Landing
from streams.archive.probe import end
from streams.keyring import trust_of
from streams.lake import Lake
from streams.logs import about

_log = logging.getLogger(__name__)
CONSUME = 5_000
"""Records taken from librdkafka at once: the call's own cost is spread over them."""
POLL_S = 0.1
PREFETCH_KIB = 32 * 1024
"""What librdkafka may hold unread; its own default of 64 MiB adds nothing to speed."""
ASK_AGAIN_S = 1.0
"""Between questions to a Kafka that does not answer."""
STOP_S = 4.0
"""For the last commit after a stop is asked; what is not committed by then is read again at the next start."""


class Partition(msgspec.Struct):
    """Where the archiver stands in one partition that is assigned to it."""

    committed: int | None
    """What the table's committed offset will be when all submitted batches have landed."""
    position: int
    """The next offset to decode."""
    refused: frozenset[int] = frozenset()


class Archiver:
    """One member of the group. `run` returns after `stop`; it raises what it cannot live with."""

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        *,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._limits = settings.archive
        self._trust = trust_of(settings)
        self._kafka = settings.kafka
        self._topics = ARCHIVED
        self._clock = clock or (lambda: datetime.now(UTC))
        self._admin = Admin(settings.kafka)
        self._landing = Landing(lake, check=self._check_topic)
        self._ids: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        """Partitions of each topic, whoever has them."""
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._buffers = {topic.name: Buffer() for topic in self._topics}
        self._under_way: tuple[Topic, Future[None], int, str] | None = None
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._consumer = Consumer(self._options(), logger=_log)

    def stop(self) -> None:
        """Ask `run` to commit what it has and return; may be called from a signal handler."""
        self._stop.set()

    def members(self, topic: Topic) -> int:
        """How many archivers share a topic now, as this one sees it by the partitions that it has."""
        mine = sum(name == topic.name for name, _ in list(self._partitions))
        return members_of(self._counts.get(topic.name, mine), mine)

    def run(self, until_idle_s: float | None = None) -> None:
        """Archive until `stop`, or until nothing has come for `until_idle_s` to the partitions that this member has.

        Raises OffsetsLost, SchemaMismatch, BrokerError (no broker at start).
        """
        self._admin.ensure_topics(self._topics)
        self._consumer.subscribe(
            [topic.name for topic in self._topics],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._revoked,
        )
        try:
            last = time.monotonic()
            while not self._stop.is_set():
                now = time.monotonic()
                metrics.LIVE.polled(now)
                if self._take(self._consumer.consume(CONSUME, POLL_S)) or self._busy() or not self._partitions:
                    last = time.monotonic()
                elif until_idle_s is not None and now - last > until_idle_s:
                    break
                self._raise_failure()
                self._collect(block=False)
                for topic in self._topics:
                    if self._due(topic, time.monotonic()):
                        self._flush(topic)
            for topic in self._topics:
                self._flush(topic)
        finally:
            self._close()
        self._raise_failure()

    def _close(self) -> None:
        self._stop.set()  # from here on partitions may come and go unread
        deadline = time.monotonic() + STOP_S
        if self._under_way:
            wait([self._under_way[1]], STOP_S)
            with contextlib.suppress(FlywheelError):  # read again at the next start
                self._collect(block=False)
            self._under_way = None
        if not self._landing.close(max(0.1, deadline - time.monotonic())):
            _log.warning("stopped while a commit was under way; what it did not land is read again at the next start")
        self._consumer.close()

    def _take(self, records: list[Message]) -> int:
        by_topic: dict[str, list[Message]] = {name: [] for name in self._buffers}
        errors: list[tuple[Message, KafkaError]] = []
        ends: list[Message] = []
        for record in records:
            if (error := record.error()) is None:
                by_topic[record.topic() or ""].append(record)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its API
                ends.append(record)
            else:
                errors.append((record, error))
        for name, mine in by_topic.items():
            if mine:
                self._decode(BY_NAME[name], mine)
        for record in ends:  # before any error has moved a position
            self._at_end(record)
        for record, error in errors:
            self._kafka_error(record, error)
        return len(records) - len(ends)

    def _decode(self, topic: Topic, records: list[Message]) -> None:
        """Decode at once, while the last batch lands: columns take less memory than Kafka's messages."""
        mine = self._mine(topic)
        part = make_batch(
            topic,
            self._ids[topic.name],
            records,
            {number: at.position for number, at in mine.items()},
            self._clock(),
            self._limits,
            frozenset((number, offset) for number, at in mine.items() for offset in at.refused),
            self._trust,
        )
        self._buffers[topic.name].add(part, records, time.monotonic())
        for number, after in part.next.items():
            mine[number].position = after

    def _at_end(self, record: Message) -> None:
        """All that can be read of a partition was: what lies between was a transaction's marker, or aborted."""
        topic, number, end_ = BY_NAME[record.topic() or ""], record.partition() or 0, record.offset() or 0
        state = self._partitions.get((topic.name, number))
        if state is None or end_ <= state.position:
            return
        part = absent(topic, self._ids[topic.name], {number: state.position}, {number: end_}, self._clock())
        self._buffers[topic.name].add(part, [], time.monotonic())
        state.position = end_

    def _mine(self, topic: Topic) -> dict[int, Partition]:
        return {number: at for (name, number), at in self._partitions.items() if name == topic.name}

    def _kafka_error(self, record: Message, error: KafkaError) -> None:
        if error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001 - its API
            _log.warning("%s[%s]: Kafka no longer has the next offset", record.topic(), record.partition())
            self._seek(BY_NAME[record.topic() or ""])
        elif error.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}:  # noqa: SLF001
            _log.warning("topic %s is gone", record.topic())
        elif error.code() == KafkaError._BAD_COMPRESSION:  # noqa: SLF001
            self._pass_over(record, error)
        elif error.fatal():
            raise BrokerError(f"Kafka client failed: {error}")
        else:
            _log.warning("Kafka: %s", error)

    def _pass_over(self, record: Message, error: KafkaError) -> None:
        """Make one dead letter of a batch that cannot be unpacked, and go on behind it."""
        topic, number = BY_NAME[record.topic() or ""], record.partition() or 0
        self._flush(topic)  # whatever came before it
        if (state := self._partitions.get((topic.name, number))) is None:
            return
        first, latest = state.position, self._admin.offsets([topic.name])[topic.name, number].latest
        after = end(self._options(), topic.name, number, first, latest)
        if after == first:
            return  # events lie before it that are still to be read: it is met again behind them
        _log.error("%s[%d]: offsets %d to %d cannot be unpacked: %s", topic.name, number, first, after - 1, error)
        letter = unreadable(topic, self._ids[topic.name], number, first, after - first, self._clock(), str(error))
        self._buffers[topic.name].dead.append(letter)
        state.position = after
        self._consumer.seek(TopicPartition(topic.name, number, after))

    def _busy(self) -> bool:
        return self._under_way is not None or any(buffer.parts for buffer in self._buffers.values())

    def _due(self, topic: Topic, now: float) -> bool:
        return is_due(self._buffers[topic.name], now, self._limits, self.members(topic))

    def _flush(self, topic: Topic) -> None:
        """Hand what is buffered to the landing thread, once the last batch has landed."""
        buffer = self._buffers[topic.name]
        if not (buffer.parts or buffer.dead):
            return
        self._buffers[topic.name] = Buffer()
        mine = self._mine(topic)
        batch = join(topic, buffer.parts, buffer.dead, {number: at.position for number, at in mine.items()})
        self._collect(block=True)
        if any(self._partitions.get((topic.name, number)) is not at for number, at in mine.items()):
            self._seek(topic)  # rebalanced or overtaken while the last batch landed
            return
        committed = {number: at.committed for number, at in mine.items()}
        future = self._landing.submit(topic, self._ids[topic.name], batch, committed)
        for number, after in batch.next.items():
            mine[number].committed = after
            mine[number].refused = frozenset(offset for offset in mine[number].refused if offset >= after)
        self._under_way = (topic, future, batch.rows.num_rows, batch.span(topic))
        metrics.batched(topic.table, batch, buffer.bytes)

    def _collect(self, *, block: bool) -> None:
        """Take the outcome of the batch under way. While waiting for it the partitions are paused, not abandoned."""
        if self._under_way is None:
            return
        topic, future, rows, span = self._under_way
        if block and not wait([future], 1.0).done:
            self._wait_paused(future)
        if not future.done():
            return
        self._under_way = None
        try:
            future.result()
        except CommitConflict as conflict:
            metrics.CONFLICTS.labels(topic.table).inc()
            with about(batch=span):
                _log.warning("%s; going on from the committed offsets", conflict)
            self._seek(topic)
        else:
            with about(batch=span):
                _log.info("landed %d rows in %s", rows, topic.table)
            metrics.LAST_COMMIT.labels(topic.table).set_to_current_time()
            self._tell_kafka(topic)

    def _wait_paused(self, future: Future[None]) -> None:
        while not (future.done() or self._stop.is_set()):
            self._consumer.pause(self._consumer.assignment())
            metrics.LIVE.polled(time.monotonic())
            self._take(self._consumer.consume(CONSUME, 0.5))
        if assigned := self._consumer.assignment():
            self._consumer.resume(assigned)

    def _tell_kafka(self, topic: Topic) -> None:
        """Group offsets, for lag monitors only: they may fail, and nothing reads them back."""
        at = [
            TopicPartition(n, p, s.committed)
            for (n, p), s in self._partitions.items()
            if n == topic.name and s.committed
        ]
        with contextlib.suppress(KafkaException):
            if at:
                self._consumer.commit(offsets=at, asynchronous=True)

    def _check_topic(self, topic: Topic, topic_id: str) -> None:
        """Raise CommitConflict where the topic is no longer the one that was consumed (landing thread)."""
        if self._admin.topic_ids([topic.name]).get(topic.name) != topic_id:
            raise CommitConflict(f"topic {topic.name} was deleted or made anew since its events were consumed")

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        if self._stop.is_set():  # the landing thread may have ended: nobody would say where they begin
            return
        try:
            for name in sorted({at.topic for at in assigned}):
                self._start(BY_NAME[name], [at.partition for at in assigned if at.topic == name])
        except BaseException as error:
            self._failure = error
            return
        consumer.incremental_assign(self._at(assigned))

    def _revoked(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        if self._under_way:  # its rows need not be read again by the next owner
            wait([self._under_way[1]], STOP_S)
        for at in revoked:
            self._partitions.pop((at.topic, at.partition), None)
            self._buffers[at.topic].drop(at.partition)
        consumer.incremental_unassign(revoked)

    def _seek(self, topic: Topic) -> None:
        """Drop what is buffered of a topic and go on from the table's committed offsets."""
        self._buffers[topic.name] = Buffer()
        if self._stop.is_set():
            return
        mine = [TopicPartition(name, number) for name, number in self._partitions if name == topic.name]
        if not mine:
            return
        self._consumer.incremental_unassign(mine)
        for at in mine:
            del self._partitions[at.topic, at.partition]
        self._start(topic, [at.partition for at in mine])
        self._consumer.incremental_assign(self._at(mine))

    def _start(self, topic: Topic, numbers: list[int]) -> None:
        """Read the committed offsets of newly assigned partitions, and compare them with what Kafka still has."""
        self._ids[topic.name], offsets = self._look_up(topic)
        self._counts[topic.name] = sum(name == topic.name for name, _ in offsets)
        future = self._landing.starts(topic, self._ids[topic.name], numbers)
        while not wait([future], ASK_AGAIN_S).done:
            if self._stop.is_set():
                raise LakeError(f"stopped before the committed offsets of {topic.table} could be read")
        starts = future.result()
        for number in numbers:
            start, kafka = starts[number], offsets.get((topic.name, number))
            if kafka is None:  # deleted a moment ago: the check before the next commit leads here again
                self._partitions[topic.name, number] = Partition(None, 0)
                continue
            first = kafka.earliest if start.committed is None else start.committed
            state = Partition(start.committed, first, start.refused)
            if first < kafka.earliest:
                self._lost(topic, number, state, kafka.earliest)
            elif first > kafka.latest:
                raise LakeError(
                    f"{topic.name}[{number}]: the lake is at offset {first}, but Kafka ends at {kafka.latest}: Kafka "
                    "has lost acknowledged events that the lake holds. Recreate the topic to go on."
                )
            self._partitions[topic.name, number] = state

    def _look_up(self, topic: Topic) -> tuple[str, dict[tuple[str, int], Offsets]]:
        """A topic's id, and what Kafka holds of it; asked again until Kafka answers or a stop is asked."""
        while True:
            try:
                return self._admin.topic_ids([topic.name]).get(topic.name, ""), self._admin.offsets([topic.name])
            except BrokerError as error:
                _log.warning("%s; asking again", error)
                if self._stop.wait(ASK_AGAIN_S):
                    raise

    def _lost(self, topic: Topic, number: int, state: Partition, earliest: int) -> None:
        if not self._limits.accept_loss:
            raise OffsetsLost(topic.name, number, state.position, earliest)
        count = earliest - state.position
        _log.error("%s[%d]: %d events from offset %d on are lost", topic.name, number, count, state.position)
        letter = lost(topic, self._ids[topic.name], number, state.position, count, self._clock())
        self._buffers[topic.name].dead.append(letter)
        state.position = earliest

    def _at(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        return [
            TopicPartition(at.topic, at.partition, self._partitions[at.topic, at.partition].position)
            for at in partitions
        ]

    def _raise_failure(self) -> None:
        if failure := self._failure:
            self._failure = None
            raise failure

    def _options(self) -> dict[str, Any]:
        return {
            "group.id": self._limits.group_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",  # a reset would skip events silently
            "enable.partition.eof": True,  # the only word of a transaction's marker that nothing follows
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 10_000,  # a killed member's partitions are taken over after that
            "heartbeat.interval.ms": 1_000,  # and a new member is noticed after that
            "queued.max.messages.kbytes": PREFETCH_KIB,
            "fetch.queue.backoff.ms": 20,  # by default a full queue is left alone for a second, and runs dry
            "check.crcs": True,
            **client_options(self._kafka),
        }
