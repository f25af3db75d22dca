"""Kafka by kafka-python, made in the sender's thread: its constructor blocks, and raises where no broker answers.

Its producer has no bound on memory, so no more than one batch is under way, and a producer that could not deliver is
closed with all it holds.
"""

from __future__ import annotations

import atexit
import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from llm_flywheel.events import TOPICS
from llm_flywheel.record import Record
from llm_flywheel.transports import Address, Unavailable

TRANSLATED = {
    "client.id": "client_id",
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "sasl.kerberos.service.name": "sasl_kerberos_service_name",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.key.password": "ssl_password",
    "ssl.crl.location": "ssl_crlfile",
    "ssl.cipher.suites": "ssl_ciphers",
}
"""librdkafka's name of an option → kafka-python's. Options without a namesake concern librdkafka alone."""
REFUSED = {"MessageSizeTooLargeError", "RecordListTooLargeError", "InvalidRecordError", "CorruptRecordError"}
"""Errors that no repetition mends."""
CONNECT_MS, REQUEST_MS, DELIVER_MS = 5_000, 5_000, 10_000
_parents: list[Any] = []
"""Producers of a forked child's parent: kept, because to destroy them would disturb the parent's connection."""


class KafkaTransport:
    """See `llm_flywheel.transports`."""

    def __init__(self, address: Address, on_connect: Callable[[], None] = lambda: None) -> None:
        self._servers = address.hosts.split(",")
        self._options = client_options(address)
        self._producer: Any = None
        self.on_connect = on_connect
        """Called after a producer was made, which registers itself to be closed at exit: ours must come before."""

    def deliver(self, records: Sequence[Record]) -> list[tuple[Record, str]]:
        """Send, and wait for all acknowledgements. Raises Unavailable."""
        rejected: list[tuple[Record, str]] = []
        sent: list[tuple[Record, Any]] = []
        try:
            producer = self._connected()
            for each in records:
                self._send(producer, each, sent, rejected)
            producer.flush(timeout=DELIVER_MS / 1000)
        except Exception as error:
            self.close()
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        for each, future in sent:
            wrong = future.exception if future.is_done else TimeoutError("not acknowledged")
            if wrong is None:
                continue
            if type(wrong).__name__ not in REFUSED:
                self.close()
                raise Unavailable(f"{type(wrong).__name__}: {wrong}")
            rejected.append((each, type(wrong).__name__))
        return rejected

    def close(self) -> None:
        """Drop the producer and what it still holds."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(Exception):
                producer.close(timeout=0)

    def forget(self) -> None:
        """The parent's producer is kept, but must not close itself at this process's exit: its sockets are shared."""
        if self._producer is not None:
            _parents.append(self._producer)
            with suppress(Exception):
                atexit.unregister(self._producer._cleanup)  # noqa: SLF001 - there is no public way
        self._producer = None

    @staticmethod
    def _send(producer: Any, each: Record, sent: list[tuple[Record, Any]], rejected: list[tuple[Record, str]]) -> None:
        if each.type not in TOPICS:
            rejected.append((each, f"{each.type!r} has no topic"))
            return
        try:
            sent.append((each, producer.send(TOPICS[each.type], each.value, each.key.encode(), each.headers())))
        except Exception as error:
            if type(error).__name__ not in REFUSED:
                raise
            rejected.append((each, type(error).__name__))

    def _connected(self) -> Any:
        if self._producer is None:
            quiet_kafka()
            from kafka import KafkaProducer

            self._producer = KafkaProducer(
                bootstrap_servers=self._servers,
                acks="all",
                enable_idempotence=True,
                compression_type="lz4" if importlib.util.find_spec("lz4") else None,
                linger_ms=5,
                max_request_size=8 * 2**20,
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=CONNECT_MS,
                max_block_ms=CONNECT_MS,
                request_timeout_ms=REQUEST_MS,
                delivery_timeout_ms=DELIVER_MS,
                **self._options,
            )
            self.on_connect()
        return self._producer


def client_options(address: Address) -> dict[str, Any]:
    """kafka-python's options from a URL's, which are in librdkafka's words."""
    given = address.options
    options: dict[str, Any] = {TRANSLATED[name]: value for name, value in given.items() if name in TRANSLATED}
    if given.get("ssl.endpoint.identification.algorithm") == "none":
        options["ssl_check_hostname"] = False
    if address.user:
        options |= {"sasl_plain_username": address.user, "sasl_plain_password": address.password}
        options.setdefault("sasl_mechanism", "PLAIN")
        options.setdefault("security_protocol", "SASL_SSL")
    return {"client_id": "llm-flywheel-sdk", **options}


def quiet_kafka() -> None:
    """A broker that is away is our business, not a stream of warnings in the application's log."""
    if "kafka" not in sys.modules and logging.getLogger("kafka").level == logging.NOTSET:
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
