"""Who serves, as the door hears it: signed decisions, the newest of them, whatever else stands on the topic."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from flows.testing.events import event_id
from schemas.codec import encode
from schemas.events import Candidate, Decision
from schemas.settings import KafkaSettings
from schemas.signing import Signer, Trust
from schemas.topics import DECISIONS
from streams.doors.champions import Champions


class Record:
    """A record as Kafka's client hands it out; its headers, or what reading them raises."""

    def __init__(self, value: bytes | None, headers: list[tuple[str, bytes]] | Exception) -> None:
        self._value, self._headers = value, headers

    def value(self) -> bytes | None:
        """The value."""
        return self._value

    def headers(self) -> list[tuple[str, bytes]]:
        """The headers."""
        if isinstance(self._headers, Exception):
            raise self._headers
        return self._headers


def test_a_record_that_cannot_be_read_is_passed_over() -> None:
    """Anybody who may write to the topic may name a header in bytes that are no UTF-8: the client raises then."""
    signer = Signer(base64.b64encode(b"k" * 32).decode())
    champions = Champions(KafkaSettings(bootstrap_servers="127.0.0.1:1"), Trust([signer.public_key]))
    model = Candidate(id="c", model="m", endpoint="http://m/v1")
    now = datetime(2026, 3, 1, tzinfo=UTC)
    value = encode(Decision(
        id=event_id(1), time=now, application="shop", action="promoted", candidate=model, champion=model,
    ))  # fmt: skip
    records: list[Any] = [
        Record(value, UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")),
        Record(value, SystemError("returned a result with an exception set")),
        Record(None, []),
        Record(value, []),
        Record(value, signer.headers(DECISIONS.event_type, value)),
    ]

    heard = []
    for record in records:
        champions.hear(record)
        heard.append(champions.of("shop") is not None)

    assert heard == [False, False, False, False, True]
