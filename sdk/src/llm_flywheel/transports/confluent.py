"""Kafka by confluent-kafka (librdkafka): a third of kafka-python's CPU time, a compiled wheel of 4 MB."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from llm_flywheel.events import TOPICS
from llm_flywheel.record import Record
from llm_flywheel.transports import Address, Unavailable
from llm_flywheel.transports.kafka import DELIVER_MS, REQUEST_MS

REFUSED = {"MSG_SIZE_TOO_LARGE", "INVALID_RECORD", "INVALID_MSG"}
"""Errors that no repetition mends."""
_parents: list[Any] = []
"""Producers of a forked child's parent: to destroy one in the child takes a second."""


class ConfluentTransport:
    """See `llm_flywheel.transports`."""

    def __init__(self, address: Address) -> None:
        self._options = client_options(address)
        self._producer: Any = None

    def deliver(self, records: Sequence[Record]) -> list[tuple[Record, str]]:
        """Send, and wait for all acknowledgements. Raises Unavailable."""
        if self._producer is None:
            from confluent_kafka import Producer

            self._producer = Producer(self._options)
        rejected: list[tuple[Record, str]] = []
        failed: list[str] = []
        known = [each for each in records if each.type in TOPICS]
        rejected += [(each, f"{each.type!r} has no topic") for each in records if each.type not in TOPICS]
        waiting = {id(each) for each in known}

        def done(each: Record, error: Any, _: Any) -> None:
            waiting.discard(id(each))
            if error is not None and error.name() in REFUSED:
                rejected.append((each, error.name()))
            elif error is not None:
                failed.append(str(error))

        for each in known:
            report = partial(done, each)
            try:
                self._producer.produce(
                    TOPICS[each.type], each.value, each.key.encode(), headers=each.headers(), on_delivery=report
                )
            except Exception as error:
                cause: Any = error.args[0] if error.args else error
                if not callable(getattr(cause, "name", None)) or cause.name() not in REFUSED:
                    self.close()
                    raise Unavailable(f"{type(error).__name__}: {error}") from error
                done(each, cause, None)
        end = time.monotonic() + DELIVER_MS / 1000
        while waiting and not failed and time.monotonic() < end:
            self._producer.poll(0.1)
        if failed or waiting:
            self.close()
            raise Unavailable(failed[0] if failed else "not acknowledged")
        return rejected

    def close(self) -> None:
        """Drop the producer and what it still holds: against a frozen broker it would burn a core."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(Exception):
                producer.purge()
                producer.poll(0)

    def forget(self) -> None:
        """The parent's producer is kept, untouched."""
        if self._producer is not None:
            _parents.append(self._producer)
        self._producer = None


def client_options(address: Address) -> dict[str, Any]:
    """Options in librdkafka's words."""
    options: dict[str, Any] = {
        "bootstrap.servers": address.hosts,
        "client.id": "llm-flywheel-sdk",
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": 5,
        "partitioner": "murmur2_random",  # as every other client: a conversation and its feedback must meet
        "message.max.bytes": 8 * 2**20,
        "socket.timeout.ms": REQUEST_MS,
        "delivery.timeout.ms": DELIVER_MS,
        "log_level": 0,
        **address.options,
    }
    if address.user:
        options |= {"sasl.username": address.user, "sasl.password": address.password}
        options.setdefault("sasl.mechanism", "PLAIN")
        options.setdefault("security.protocol", "SASL_SSL")
    return options
