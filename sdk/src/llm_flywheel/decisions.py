"""Decisions as they come: from the compacted Kafka topic (kafka-python or confluent-kafka), or by asking the HTTP door.

A source yields the newest decision known when it began, or None where there is none yet, and then each new one. It
raises when nobody answers; its reader waits and begins anew.
"""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from llm_flywheel.events import DECISIONS
from llm_flywheel.settings import Settings
from llm_flywheel.signature import HEADER, Trust
from llm_flywheel.transports import Address, Unavailable
from llm_flywheel.transports import confluent as by_confluent
from llm_flywheel.transports import kafka as by_kafka
from llm_flywheel.transports.tolerant import ask_headers, tolerate

LOOK_S = 0.2
"""How soon a reader of Kafka sees that it is to stop."""


class Decided(NamedTuple):
    """Who serves since a decision."""

    sequence: int
    champion: dict[str, Any]
    former: dict[str, Any]
    """Who served before that one was promoted; empty where nobody did, and after a rollback."""


class Heard(NamedTuple):
    """A record as it came."""

    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class CaughtUp:
    """All that was there at the start has been given."""


def source_of(settings: Settings, stop: threading.Event, poll_s: float) -> Iterator[Decided | None]:
    """The decisions of one application. Raises ValueError, ImportError, Unavailable, or the client's errors."""
    address = Address(settings.url)
    trust = Trust(settings.trusted_keys) if settings.trusted_keys else None
    if address.scheme in {"http", "https"}:
        return _from_door(address, settings, trust, stop, poll_s)
    if address.scheme not in {"kafka", "kafka+confluent"}:
        raise ValueError(f"{settings.url} tells of no decisions")
    if trust is None:
        raise ValueError("decisions on Kafka are signed: give trusted_keys, as `flywheel ledger key` prints them")
    kafka_python = address.scheme == "kafka" and importlib.util.find_spec("kafka")
    source = _from_kafka(address, stop) if kafka_python else _from_confluent(address, stop)
    return newest_first(source, settings.application, trust)


def decided(value: bytes | None, application: str) -> Decided | None:
    """A record of the topic, if it says who serves in this application. Tombstones and bad records say nothing."""
    try:
        event = json.loads(value or b"null")
        if event["application"] != application or not event.get("champion"):
            return None
        return Decided(int(event.get("sequence", 0)), dict(event["champion"]), dict(event.get("former") or {}))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):  # 1e999; ten thousand brackets
        return None


def newest_first(source: Iterator[Heard | CaughtUp], application: str, trust: Trust) -> Iterator[Decided | None]:
    """Of all that is there only the newest, so that nobody serves history; then each as it comes.

    Signatures are checked from the newest down until one holds: some 10 ms each.
    """
    waiting: list[tuple[Decided, Heard]] = []
    newest, caught_up = -1, False
    for heard in source:
        if isinstance(heard, Heard):
            found = decided(heard.value, application)
            if found is not None and found.sequence > newest:
                waiting.append((found, heard))
        else:
            caught_up = True
        if not caught_up:
            continue
        waiting.sort(key=lambda each: each[0].sequence, reverse=True)
        holding = (found for found, each in waiting if trust.holds(each.value or b"", each.headers))
        best = next(holding, None)
        waiting = []
        if best is not None:
            newest = best.sequence
        if best is not None or not isinstance(heard, Heard):
            yield best


def _from_kafka(address: Address, stop: threading.Event) -> Iterator[Heard | CaughtUp]:
    by_kafka.quiet_kafka()
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(
        bootstrap_servers=address.hosts.split(","), group_id=None, enable_auto_commit=False,
        bootstrap_timeout_ms=by_kafka.CONNECT_MS, **by_kafka.client_options(address),
    )  # fmt: skip
    tolerate(consumer)
    try:
        numbers = consumer.partitions_for_topic(DECISIONS)
        if not numbers:
            raise Unavailable(f"there is no topic {DECISIONS}")
        partitions = [TopicPartition(DECISIONS, number) for number in numbers]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        while not stop.is_set():
            for found in consumer.poll(timeout_ms=int(LOOK_S * 1000)).values():
                yield from (Heard(each.value, each.headers or []) for each in found)
            if ends and all(consumer.position(each) >= ends[each] for each in partitions):
                ends = {}
                yield CaughtUp()
    finally:
        consumer.close()


def _from_confluent(address: Address, stop: threading.Event) -> Iterator[Heard | CaughtUp]:
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    ours = by_confluent.client_options(address)
    producers = {"enable.idempotence", "compression.type", "linger.ms", "partitioner", "delivery.timeout.ms"}
    options = {name: each for name, each in ours.items() if name not in producers}
    consumer = Consumer({**options, "group.id": "llm-flywheel-sdk", "enable.auto.commit": False})
    try:
        known = consumer.list_topics(DECISIONS, timeout=by_kafka.CONNECT_MS / 1000).topics[DECISIONS].partitions
        if not known:
            raise Unavailable(f"there is no topic {DECISIONS}")
        ends = {number: consumer.get_watermark_offsets(TopicPartition(DECISIONS, number))[1] for number in known}
        ends = {number: end for number, end in ends.items() if end}
        consumer.assign([TopicPartition(DECISIONS, number, OFFSET_BEGINNING) for number in known])
        caught_up = False
        while not stop.is_set():
            found = consumer.poll(LOOK_S)
            if found is not None and found.error() is None:
                try:
                    headers: Any = ask_headers(found) or []
                except (UnicodeDecodeError, SystemError):  # a name that is no UTF-8: no decision has one
                    headers = []
                yield Heard(found.value(), headers)
            places = {each.partition: each.offset for each in consumer.position(consumer.assignment())}
            if not caught_up and all(places.get(number, -1) >= end for number, end in ends.items()):
                caught_up = True
                yield CaughtUp()
    finally:
        consumer.close()


def _from_door(
    address: Address, settings: Settings, trust: Trust | None, stop: threading.Event, poll_s: float
) -> Iterator[Decided | None]:
    """`GET /v1/champion/{application}`: 200 with a decision, 304 where it is still the same, 404 where none is."""
    from llm_flywheel.transports.http import Door

    door, etag = Door(address, settings.token), ""
    path = f"/v1/champion/{quote(settings.application, safe='')}"
    try:
        while not stop.is_set():
            status, headers, body = door.ask("GET", path, headers={"If-None-Match": etag} if etag else {})
            if status == 200:
                signature = headers.get("ce-signature", "").encode()
                if trust is not None and not trust.holds(body, [(HEADER, signature)]):
                    raise Unavailable("the door's answer is not signed by a trusted key")
                etag = headers.get("etag", "")
                yield decided(body, settings.application)
            elif status in {304, 404}:
                yield None
            else:
                raise Unavailable(f"HTTP {status}: {body[:200]!r}")
            stop.wait(poll_s)
    finally:
        door.close()
