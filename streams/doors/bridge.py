"""A Collector's Kafka topic → events: the same mapper as the HTTP door's, at the pace of Kafka.

1. Read some requests of spans. 2. Map and send what they tell of. 3. Wait until Kafka has acknowledged all. 4. Commit
the offsets. A kill in between repeats a step; ids are made of the spans, so that nothing is counted twice. Go on to
`streams/doors/otlp.py`.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections import Counter
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaException, Message

from schemas.errors import BrokerError, SettingsError
from schemas.otel import Mapped
from schemas.settings import Settings
from streams.admin import client_options
from streams.doors import otlp
from streams.doors.batch import check_mapped
from streams.doors.tokens import ANYBODY
from streams.logs import about
from streams.producer import EventProducer

GROUP = "llm-flywheel-bridge"
REQUESTS, POLL_S = 200, 0.5
"""Requests, each of many spans, that are read and acknowledged together."""
_log = logging.getLogger(__name__)


def bridge(settings: Settings, until_idle_s: float | None = None) -> None:
    """Carry over until SIGTERM or SIGINT, or until nothing came for so long. Raises SettingsError, BrokerError."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    carry_over(settings, stop, until_idle_s)


def carry_over(settings: Settings, stop: threading.Event, until_idle_s: float | None = None) -> Counter[str]:
    """`bridge` without signals; how many events were sent, and why others were not."""
    if not settings.door.collector_topic:
        raise SettingsError("door.collector_topic names no topic: set it to the one that the Collector writes to")
    consumer = Consumer({
        **client_options(settings.kafka), "group.id": GROUP, "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    })  # fmt: skip
    consumer.subscribe([settings.door.collector_topic])
    counts: Counter[str] = Counter()
    quiet = 0.0
    try:
        with EventProducer(settings.kafka, "/llm-flywheel/bridge") as producer:
            while not stop.is_set() and (until_idle_s is None or quiet < until_idle_s):
                records = consumer.consume(REQUESTS, POLL_S)
                quiet = 0.0 if records else quiet + POLL_S
                if records:
                    _carry(records, consumer, producer, settings.archive.max_event_bytes, counts)
    except KafkaException as error:
        raise BrokerError(f"the topic {settings.door.collector_topic} cannot be read: {error}") from error
    finally:
        consumer.close()
    return counts


def _carry(
    records: Sequence[Message], consumer: Consumer, producer: EventProducer, max_bytes: int, counts: Counter[str]
) -> None:
    """One round, to its commit."""
    for record in records:
        if record.error() is not None:
            _log.warning("the Collector's topic cannot be read now: %s", record.error())
            continue
        checked = check_mapped(_events(record, counts), ANYBODY, max_bytes)
        for each in checked.records:
            producer.send_bytes(each.topic, each.key, each.value, each.headers)
        counts["sent"] += len(checked.records)
        counts.update(each.reason.partition(":")[0] for each in checked.rejected)
    producer.flush()
    if any(record.error() is None for record in records):
        consumer.commit(asynchronous=False)


def _events(record: Message, counts: Counter[str]) -> list[Mapped]:
    value = bytes(record.value() or b"")
    with about(record=f"{record.topic()}:{record.partition()}@{record.offset()}"):
        try:
            events, skipped = otlp.events_of(value, "traces", json=value.startswith(b"{"))
        except otlp.BadRequest as error:
            counts["unreadable"] += 1
            _log.warning("a record is left out: %s; the exporter's encoding must be otlp_proto or otlp_json", error)
            return []
    counts.update(skipped)
    return events
