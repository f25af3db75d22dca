"""Finds the end of a record batch that cannot be unpacked: a compression bomb, or bytes that are no compression.

librdkafka refuses to unpack beyond its limit, and would ask for the same batch for ever. Nobody but the batch's own
header says how many offsets it has, so they are probed: each failed read names the first offset of its batch.
Go on to `streams/archive/archiver.py`.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from schemas.errors import BrokerError

PROBE_S = 30.0
"""For one probe: unpacking up to the limit takes some seconds on a busy machine."""


def end(options: Mapping[str, Any], topic: str, partition: int, first: int, latest: int) -> int:
    """One beyond the unreadable batch that is the next thing from `first` on, at most `latest`; some 20 reads.

    `first` itself where the next thing can be read. `options` are those of the consumer that met the batch.
    Raises BrokerError where Kafka does not answer.
    """
    consumer = Consumer({**options, "enable.partition.eof": True, "fetch.error.backoff.ms": 10, "log_level": 2})
    try:
        batch = _batch(consumer, topic, partition, first)
        if batch is None:
            return first
        beyond = range(max(first, batch) + 1, latest)
        inside = bisect.bisect(beyond, False, key=lambda at: _batch(consumer, topic, partition, at) != batch)
        return beyond.start + inside
    finally:
        consumer.close()


def _batch(consumer: Consumer, topic: str, partition: int, at: int) -> int | None:
    """The first offset of the unreadable batch that an offset lies in; None where it can be read."""
    consumer.assign([TopicPartition(topic, partition, at)])
    deadline = time.monotonic() + PROBE_S
    while time.monotonic() < deadline:
        if (record := consumer.poll(1.0)) is None:
            continue
        error = record.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its API
            return None
        if error.code() == KafkaError._BAD_COMPRESSION:  # noqa: SLF001
            return record.offset()
    raise BrokerError(f"{topic}[{partition}]: Kafka does not answer what follows the unreadable records at {at}")
