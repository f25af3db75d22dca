"""Who serves, heard on a real Kafka where anybody may write: whatever else stands there, the next decision is heard."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import CorruptRecordError

import llm_flywheel as fly
from flows.testing.events import event_id
from schemas.codec import encode
from schemas.events import Decision
from schemas.records import make_candidate
from schemas.settings import KafkaSettings
from schemas.signing import Signer, Trust
from schemas.topics import DECISIONS
from streams.doors.champions import Champions
from tests.support.kafka import ODD, recreate_topics
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

SIGNER = Signer(base64.b64encode(bytes(32)).decode())
SCHEMES = ["kafka", "kafka+confluent"]
NO_DECISIONS = [
    b"no JSON",
    b"\xff\xfe",
    b"[]",
    b'"app"',
    b"[" * 100_000,
    b'{"application": "app", "champion": {"model": "x"}, "sequence": 1e999}',
    b'{"application": "app", "champion": 1, "sequence": "x"}',
]
"""Beside a tombstone."""


BAD = [(value, headers) for value in [None, *NO_DECISIONS] for headers in ([], [ODD])]


@pytest.fixture
def servers(kafka: str) -> str:
    """A Kafka with empty topics."""
    recreate_topics(kafka)
    return kafka


@pytest.fixture
def write(servers: str) -> Iterator[Callable[..., None]]:
    """Write records into one partition, in one batch: what waits is sent only when it is told to."""
    producer = KafkaProducer(bootstrap_servers=servers, linger_ms=60_000, compression_type="lz4")

    def write(*records: tuple[bytes | None, list[tuple[str, bytes]]]) -> None:
        for value, headers in records:
            producer.send(DECISIONS.name, value, b"app", headers=headers, partition=0)
        producer.flush(30)

    yield write
    producer.close()


def decision(sequence: int, model: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A signed decision, as a record."""
    who = make_candidate(model, "http://127.0.0.1:8000/v1")
    value = encode(Decision(
        id=event_id(sequence), time=datetime(2026, 1, 5, tzinfo=UTC), application="app", action="promoted",
        candidate=who, champion=who, sequence=sequence,
    ))  # fmt: skip
    return value, SIGNER.headers(DECISIONS.event_type, value)


def follow(scheme: str, servers: str, folder: Path) -> fly.Champion:
    """The champion, as an application follows it."""
    url = f"{scheme}://{servers}"
    return fly.Champion("app", "m", url=url, state_dir=folder, trusted_keys=SIGNER.public_key)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_record_stops_who_listens(
    servers: str, write: Callable[..., None], tmp_path: Path, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Header names that are no UTF-8 and values that are no decision, before the first decision and after it."""
    write(*BAD, decision(1, "m1"), *BAD)
    first = follow(scheme, servers, tmp_path / "first")
    eventually(lambda: first.model == "m1")
    write(*BAD)
    write(decision(2, "m2"))
    eventually(lambda: first.model == "m2")
    first.close()

    late = follow(scheme, servers, tmp_path / "late")
    eventually(lambda: late.model == "m2")
    late.close()
    assert "stays the last one known" not in caplog.text


def test_no_record_stops_the_door(servers: str, write: Callable[..., None]) -> None:
    """It listens for all applications that ask it."""
    champions = Champions(KafkaSettings(bootstrap_servers=servers), Trust([SIGNER.public_key]))
    champions.start()
    for sequence in (1, 2):
        write(*BAD, decision(sequence, f"m{sequence}"), *BAD)
        eventually(lambda n=sequence: (told := champions.of("app")) and told.sequence == n)
    champions.close()


def test_a_decision_with_an_odd_header_is_a_decision(servers: str, write: Callable[..., None], tmp_path: Path) -> None:
    """Somebody on the way may add headers: what is signed is the value."""
    value, headers = decision(1, "m1")
    write((value, [ODD, *headers, ODD]))
    champion = follow("kafka", servers, tmp_path)

    eventually(lambda: champion.model == "m1")
    champion.close()


def test_a_batch_that_kafka_python_cannot_read_is_passed_over(
    servers: str, write: Callable[..., None], tmp_path: Path
) -> None:
    """Snappy needs a library that few have: whoever writes so stops nobody."""
    snappy = Producer({"bootstrap.servers": servers, "compression.type": "snappy", "log_level": 2})
    snappy.produce(DECISIONS.name, b"{}" * 1000, b"app", partition=0)
    assert snappy.flush(30) == 0
    write(decision(1, "m1"))
    champion = follow("kafka", servers, tmp_path)

    eventually(lambda: champion.model == "m1")
    champion.close()


def test_an_applications_own_consumer_is_as_it_was(servers: str, write: Callable[..., None], tmp_path: Path) -> None:
    """Only the SDK's own one reads so. Where kafka-python's reads such a name by itself, all of this may go."""
    write((b"{}", [ODD]), decision(1, "m1"))
    champion = follow("kafka", servers, tmp_path)
    eventually(lambda: champion.model == "m1")
    consumer: Any = KafkaConsumer(bootstrap_servers=servers)
    consumer.assign([TopicPartition(DECISIONS.name, 0)])
    consumer.seek_to_beginning()

    with pytest.raises(CorruptRecordError):
        eventually(lambda: consumer.poll(1000))
    consumer.close()
    champion.close()
