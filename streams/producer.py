"""Events to Kafka: idempotent, batched, lz4; each event to its topic, under its key, with CloudEvents headers.

    with EventProducer(settings.kafka) as producer:
        producer.send(interaction)

`flywheel replay` sends a file with it. Go on to `streams/replay.py`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from llm_flywheel.transports.kafka import TRANSLATED
from schemas.codec import encode, headers
from schemas.errors import BrokerError, EventError, UsageError
from schemas.events import Event, event_type
from schemas.secrets import revealed
from schemas.settings import NO_BROKER, KafkaSettings
from schemas.signing import Signer
from schemas.topics import TOPICS, Topic

SOURCE = "/llm-flywheel"
"""`ce_source` of events that the flywheel itself sends."""
MAX_REQUEST = 8 * 2**20
"""Bytes: what the embedded broker takes. An event above `archive.max_event_bytes` is still only a dead letter."""
_BY_TYPE = {topic.event_type: topic for topic in TOPICS}


class EventProducer:
    """Sends events; `flush` (or leaving the `with` block) returns when Kafka has acknowledged all of them."""

    def __init__(
        self, kafka: KafkaSettings, source: str = SOURCE, timeout_s: float = 30.0, signer: Signer | None = None
    ) -> None:
        """`signer` signs what gives orders. Raises BrokerError where no broker answers, UsageError for none named."""
        if not kafka.bootstrap_servers:
            raise UsageError(NO_BROKER)
        self._source = source
        self._signer = signer
        self._failures: list[BaseException] = []
        self._sent = 0
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=kafka.bootstrap_servers,
                enable_idempotence=True,
                acks="all",
                # Without the C library each CRC is computed in Python, at a tenth of the speed; lz4 needs its own.
                compression_type="lz4" if importlib.util.find_spec("lz4") else None,
                linger_ms=20,
                batch_size=2**18,
                max_request_size=MAX_REQUEST,
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=int(timeout_s * 1000),
                **_options(kafka),
            )
        except KafkaError as error:
            raise BrokerError(f"Kafka at {kafka.bootstrap_servers} does not answer: {error}") from error

    def send(self, event: Event) -> None:
        """Queue one event. Blocks while the queue (32 MiB) is full. Raises EventError `too_large`."""
        topic = _BY_TYPE[event_type(event)]
        value, more = encode(event), headers(event, self._source)
        if self._signer and (topic.signed or topic.waits):
            more += self._signer.headers(topic.event_type, value)
        self.send_bytes(topic, getattr(event, topic.key), value, more)

    def send_bytes(
        self, topic: Topic, key: str | bytes | None, value: bytes | None, record_headers: Sequence[tuple[str, bytes]]
    ) -> None:
        """Queue one record as it is: for replays, which must not change what was sent."""
        try:
            sent = self._producer.send(
                topic.name,
                key=key.encode() if isinstance(key, str) else key,
                value=value,
                headers=list(record_headers),
            )
        except MessageSizeTooLargeError as error:
            raise EventError("too_large", f"{len(value or b'')} bytes; Kafka takes {MAX_REQUEST} at most") from error
        except KafkaError as error:
            raise BrokerError(f"cannot send to {topic.name}: {error}") from error
        sent.add_errback(self._failures.append)
        self._sent += 1

    def flush(self, timeout_s: float = 60.0) -> int:
        """Wait until everything queued is acknowledged; how many events that makes since the producer began.

        Raises BrokerError naming how many were not. Sending those again is safe: the same id twice is one event.
        """
        try:
            self._producer.flush(timeout=timeout_s)
        except KafkaError as error:
            raise BrokerError(f"Kafka did not acknowledge all events within {timeout_s:.0f} s: {error}") from error
        if failures := self._failures:
            self._failures = []
            raise BrokerError(f"{len(failures)} events were not acknowledged, the first because: {failures[0]!r}")
        return self._sent

    def close(self) -> None:
        """Flush and let go of the connection."""
        try:
            self.flush()
        finally:
            self._producer.close(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._producer.close(timeout=1)


def _options(kafka: KafkaSettings) -> dict[str, Any]:
    client = revealed(kafka.client)
    options: dict[str, Any] = {TRANSLATED[name]: value for name, value in client.items() if name in TRANSLATED}
    if client.get("ssl.endpoint.identification.algorithm") == "none":
        options["ssl_check_hostname"] = False
    return options
