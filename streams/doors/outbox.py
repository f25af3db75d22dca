"""Records to Kafka, and the word that Kafka has them: what the door waits for before it says 200.

One producer (librdkafka) for all requests, bounded in memory and in time. Whoever was told 503 sends again, and an
event that arrived all the same is there twice under one id: it counts once. Go on to `streams/doors/app.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.errors import BrokerError
from schemas.settings import KafkaSettings
from streams.admin import client_options
from streams.doors.batch import Outgoing
from streams.producer import MAX_REQUEST

WAIT_S = 8.0
"""Exporters and the SDK give up a request after ten seconds."""
QUEUE_KIB = 64 * 2**10
"""Records that wait for Kafka; beyond it the answer is 503 at once."""


class Outbox:
    """See the module. `send` belongs to one event loop; `close` ends the thread that hears Kafka's answers."""

    def __init__(self, kafka: KafkaSettings) -> None:
        options = {
            "client.id": "llm-flywheel-door",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 5,
            "partitioner": "murmur2_random",  # as every other client: a conversation and its feedback must meet
            "message.max.bytes": MAX_REQUEST,
            "delivery.timeout.ms": int(WAIT_S * 1000) - 1000,
            "queue.buffering.max.kbytes": QUEUE_KIB,
        }
        # Level 2: what fails is answered, with its reason; librdkafka would print every try beside it.
        self._producer = Producer({**options, **client_options(kafka), "log_level": 2})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._hear, name="llm-flywheel-outbox", daemon=True)
        self._thread.start()

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Return once Kafka has acknowledged every record. Raises BrokerError where it has not, in time."""
        if not records:
            return
        loop = asyncio.get_running_loop()
        batch = _Batch(loop, len(records))
        try:
            for each in records:
                self._producer.produce(
                    each.topic.name, each.value, each.key, headers=[*each.headers], on_delivery=batch.delivered
                )
        except BufferError as error:
            raise BrokerError("too many events wait for Kafka") from error
        except KafkaException as error:
            raise BrokerError(f"Kafka does not take the events: {error}") from error
        try:
            await asyncio.wait_for(batch.done, WAIT_S)
        except TimeoutError as error:
            raise BrokerError("Kafka does not answer") from error
        if batch.failure is not None:
            raise BrokerError(f"Kafka did not take all events: {batch.failure}")

    def close(self) -> None:
        """Let go of Kafka; what waits is given up, and its senders were told so."""
        self._stop.set()
        self._thread.join(2)
        self._producer.purge()
        self._producer.poll(0)
        del self._producer  # its connections end with it

    def _hear(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(0.1)


class _Batch:
    """The records of one request on their way; `delivered` is called in the outbox's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        self._loop, self._left = loop, count
        self.done: asyncio.Future[None] = loop.create_future()
        self.failure: str | None = None

    def delivered(self, error: KafkaError | None, _: Message) -> None:
        """One record is at rest, or given up."""
        self._left -= 1
        if error is not None:
            self.failure = str(error)
        if self._left == 0 and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
