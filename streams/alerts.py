"""Alerts from Kafka: what triage raises, and what a web app of the same application saw, each given on once or more.

Offsets are committed after the alert was given on; one that is heard again is the same alert. What came while nobody
listened is heard later. Go on to `admin.py`, which says how Kafka is reached.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaException, Message

from schemas.codec import decode
from schemas.errors import BrokerError, EventError
from schemas.events import Alert
from schemas.settings import Settings
from schemas.topics import ALERTS
from streams.admin import client_options

GROUP = "llm-flywheel-alerts"
"""With the application's name: each hears all of the topic, and keeps its own."""
LOOK_S = 0.5
_log = logging.getLogger(__name__)


def hear(settings: Settings, put: Callable[[Alert, datetime], None], stopped: Callable[[], bool]) -> None:
    """Give every alert of the application and the time at which it was sent to `put`, until `stopped`.

    Raises BrokerError where the topic cannot be read.
    """
    with _consumer(settings) as consumer:
        while not stopped():
            record = consumer.poll(LOOK_S)
            if record is None:
                continue
            if (error := record.error()) is not None:
                if not error.retriable():
                    raise BrokerError(f"{ALERTS.name} cannot be read: {error}")
                continue
            alert = alert_of(record)
            if alert is not None and alert.application == settings.application:
                put(alert, came_of(record, datetime.now(UTC)))
            with suppress(KafkaException):  # what is not noted as heard is heard again
                consumer.commit(message=record, asynchronous=False)


def alert_of(record: Message) -> Alert | None:
    """The alert of a record; None for what is none, which is logged and passed over."""
    try:
        event = decode(record.value(), ALERTS.event_type).event
    except EventError as error:
        _log.warning(
            "%s partition %s offset %s is no alert: %s", ALERTS.name, record.partition(), record.offset(), error
        )
        return None
    return event if isinstance(event, Alert) else None


def came_of(record: Message, now: datetime) -> datetime:
    """When a record was sent; never later than now, whatever the clock of its sender says."""
    _, milliseconds = record.timestamp()
    return min(datetime.fromtimestamp(milliseconds / 1000, UTC), now) if 0 < milliseconds < 2**42 else now


@contextmanager
def _consumer(settings: Settings) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            **client_options(settings.kafka),
            "group.id": f"{GROUP}-{settings.application}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "log_level": 2,
        }
    )
    try:
        consumer.subscribe([ALERTS.name])
        yield consumer
    finally:
        consumer.close()
