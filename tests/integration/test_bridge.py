"""A Collector's Kafka topic, carried over: at least once, and each call counted once."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.errors import SettingsError
from schemas.settings import DoorSettings, Settings
from streams.doors.bridge import carry_over
from tests.support.kafka import Ingest

pytestmark = pytest.mark.integration
GOLDEN = Path(__file__).resolve().parents[1] / "schemas" / "otel" / "golden"


def request(*numbers: int) -> bytes:
    """What the Collector's exporter writes: one request of several spans, here each with an agent's span beside it."""
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "garden-shop"
    spans = group.scope_spans.add().spans
    for n in numbers:
        for operation, span_id in (("chat", n), ("invoke_agent", n + 1000)):
            span = spans.add(trace_id=n.to_bytes(16), span_id=span_id.to_bytes(8), start_time_unix_nano=10**18)
            attributes: dict[str, Any] = {
                "gen_ai.operation.name": operation,
                "gen_ai.input.messages": f'[{{"role": "user", "content": "number {n}"}}]',
            }
            for name, value in attributes.items():
                span.attributes.add(key=name).value.string_value = value
    return bytes(made.SerializeToString())


def collected(ingest: Ingest, *values: bytes) -> Settings:
    """Settings that name a Collector's topic with these records."""
    topic = f"otlp_spans_{uuid.uuid4().hex[:8]}"
    servers = ingest.settings.kafka.bootstrap_servers
    admin = AdminClient({"bootstrap.servers": servers})
    for made in admin.create_topics([NewTopic(topic, 2)]).values():
        made.result()
    producer = Producer({"bootstrap.servers": servers})
    for value in values:
        producer.produce(topic, value)
    producer.flush(30)
    return msgspec.structs.replace(ingest.settings, door=DoorSettings(collector_topic=topic))


def calls(ingest: Ingest) -> list[str]:
    """The calls that are in the lake, in order."""
    ingest.archive()
    return [str(row["span_id"]) for row in ingest.ask("SELECT DISTINCT id, span_id FROM interactions ORDER BY span_id")]


def test_a_collectors_spans_become_events(ingest: Ingest) -> None:
    """Every call once, though the Collector sent one request twice; what is no request is left out and counted."""
    json_ = (GOLDEN / "pydantic_ai.otlp.json").read_bytes()
    settings = collected(ingest, request(1, 2), request(3), b"\xff\xff", json_, request(3))

    counts = carry_over(settings, threading.Event(), until_idle_s=5)
    again = carry_over(settings, threading.Event(), until_idle_s=5)

    assert counts == Counter({"sent": 6, "not_llm": 6, "no_content": 1, "unreadable": 1})
    assert not again
    assert calls(ingest) == [f"{n:016x}" for n in (1, 2, 3, 0xA1, 0xA3)]


def test_without_a_topic_there_is_nothing_to_carry_over(ingest: Ingest) -> None:
    """The setting is named."""
    with pytest.raises(SettingsError, match="collector_topic"):
        carry_over(ingest.settings, threading.Event())
