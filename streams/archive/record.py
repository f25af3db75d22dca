"""Kafka records, and their own metadata read with care: times and header names are what a producer wrote, too.

Pure. Go on to `streams/archive/batch.py`, which makes rows of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from llm_flywheel.transports.tolerant import ask_headers
from schemas.codec import Headers
from schemas.events import YEARS

NOTE = "kafka_note"
"""The field of `extra` that says what of a record's own metadata could not be kept."""
_MOMENTS = range(int(datetime(YEARS.stop, 1, 1, tzinfo=UTC).timestamp()) * 1000)
"""Milliseconds that are a time: nanoseconds sent by mistake lie beyond."""
_NO_TIME = -1
"""What Kafka says where a record has no time."""


class Record(Protocol):
    """One record as Kafka clients hand it out; `confluent_kafka.Message` is one."""

    def partition(self) -> int | None:
        """Its partition."""

    def offset(self) -> int | None:
        """Its offset."""

    def timestamp(self) -> tuple[int, int]:
        """Kind of time, and milliseconds since the epoch."""

    def key(self) -> bytes | None:
        """Its key."""

    def value(self) -> bytes | None:
        """Its value."""

    def headers(self) -> Any:
        """Its headers: pairs of name and bytes, or None. May raise where a name is no UTF-8, and then differently."""


class Metadata(msgspec.Struct):
    """What came beside the values of records, in their order."""

    headers: list[Headers | None]
    times: list[int | None]
    """Milliseconds since the epoch; None where there is no time that any tool could write."""
    notes: dict[int, dict[str, Any]]
    """Place of a record → what could not be kept of it."""

    def kept(self, places: Sequence[int]) -> Metadata:
        """The same of some of the records, whose places are given."""
        notes = {new: self.notes[old] for new, old in enumerate(places) if old in self.notes} if self.notes else {}
        return Metadata([self.headers[at] for at in places], [self.times[at] for at in places], notes)


def metadata(records: Sequence[Record]) -> Metadata:
    """What came beside the values. Never raises for what a producer wrote."""
    headers, notes = _headers_of(records)
    times: list[int | None] = [record.timestamp()[1] for record in records]
    for place, time in enumerate(times):
        if time not in _MOMENTS:
            times[place] = None
            if time != _NO_TIME:
                notes.setdefault(place, {})["time_ms"] = time
    return Metadata(headers, times, notes)


def headers_text(headers: Headers | None) -> str | None:
    """Headers as JSON text, whatever types a client gives their values."""
    if not headers:
        return None
    return msgspec.json.encode([[_text(name), _text(value)] for name, value in headers]).decode()


def noted(extra: str | None, note: dict[str, Any]) -> str:
    """`extra` with a note beside what the producer sent."""
    fields: dict[str, Any] = msgspec.json.decode(extra or "{}", type=dict[str, msgspec.Raw])
    name = NOTE
    while name in fields:
        name += "_"
    return msgspec.json.encode({**fields, name: note}).decode()


def _headers_of(records: Sequence[Record]) -> tuple[list[Headers | None], dict[int, dict[str, Any]]]:
    """Each record is asked once: librdkafka frees headers that it could not read."""
    headers: list[Headers | None] = []
    notes: dict[int, dict[str, Any]] = {}
    each = map(ask_headers, records)
    while True:
        try:
            headers.extend(each)
            break
        except (UnicodeDecodeError, SystemError) as error:  # what came before it is in the list
            notes[len(headers)] = {"headers": f"not read: {error}"[:200]}
            headers.append(None)
    return headers, notes


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)
    return text.encode("utf-8", "replace").decode()
