"""Transports: where records go. `open_transport` picks one by the URL's scheme; the sender's thread uses it.

A transport has three methods:

    deliver(records) → the rejected ones, each with its reason; returns when all others are safe at the other side.
                       Called with 1 to 200 records at a time, again and again with the same ones after it raised
                       Unavailable; takes at most `patience_s` or so. Never drops a record in silence.
    close()          → lets go of connections; `deliver` may follow and connects anew.
    forget()         → in a forked child: drops the parent's connections without touching them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from llm_flywheel.record import Record


class Unavailable(Exception):
    """Nobody takes records now; `retry_after_s` is what the other side asked for, if it answered at all."""

    def __init__(self, why: object, retry_after_s: float | None = None) -> None:
        super().__init__(str(why))
        self.retry_after_s = retry_after_s


KAFKA_OPTIONS = frozenset({
    "client.id", "security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password",
    "sasl.kerberos.service.name", "ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password",
    "ssl.crl.location", "ssl.cipher.suites", "ssl.endpoint.identification.algorithm",
})  # fmt: skip
"""What a Kafka URL may set, in librdkafka's words: no option that loads a library or runs a program."""


class Transport(Protocol):
    """See the module."""

    def deliver(self, records: Sequence[Record]) -> list[tuple[Record, str]]:
        """Bring records to safety. Raises Unavailable."""

    def close(self) -> None:
        """Let go of connections."""

    def forget(self) -> None:
        """In a forked child: the connections are the parent's."""


class Address:
    """A URL's parts: `scheme://user:password@hosts/path?options`, where hosts may be several, joined by commas."""

    def __init__(self, url: str) -> None:
        """Raises ValueError where it names no place."""
        scheme, separator, rest = url.partition("://")
        if not separator:
            raise ValueError(f"{url!r} is no URL: kafka://host:9092, http://host:port or file:///folder")
        self.scheme = scheme.lower()
        at = rest.partition("/")[0].partition("?")[0]
        credentials, _, self.hosts = at.rpartition("@")
        user, _, password = credentials.partition(":")
        self.user, self.password = unquote(user), unquote(password)
        parts = urlsplit("x://x" + rest[len(at) :])
        self.path = unquote(parts.path)
        self.options = dict(parse_qsl(parts.query))


def open_transport(url: str, token: str = "") -> Transport:
    """The transport of a URL; connects with the first `deliver`. Raises ValueError, ImportError."""
    address = Address(url)
    if address.scheme == "file":
        from llm_flywheel.transports.file import FileTransport

        return FileTransport(address)
    if not address.hosts:
        raise ValueError(f"{url!r} names no host")
    if address.scheme in {"http", "https"}:
        from llm_flywheel.transports.http import HttpTransport

        return HttpTransport(address, token)
    if address.scheme in {"kafka", "kafka+confluent"}:
        if others := sorted(set(address.options) - KAFKA_OPTIONS):
            raise ValueError(f"a Kafka URL has no option {others[0]!r}; it has {', '.join(sorted(KAFKA_OPTIONS))}")
        if address.scheme == "kafka" and importlib.util.find_spec("kafka"):
            from llm_flywheel.transports.kafka import KafkaTransport

            return KafkaTransport(address)
        if importlib.util.find_spec("confluent_kafka"):
            from llm_flywheel.transports.confluent import ConfluentTransport

            return ConfluentTransport(address)
        raise ImportError("no Kafka client is installed: pip install 'llm-flywheel-sdk[kafka]'")
    raise ValueError(f"{address.scheme!r} is none of kafka, kafka+confluent, http, https, file")
