"""Dead letters: what came and could not be a row, or did not come at all; one constructor for each kind of cause.

Pure. `streams/archive/batch.py` makes them, `streams/dead_letters.py` shows them and sends them again.
"""

from __future__ import annotations

import contextlib
import hashlib
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from schemas.codec import Headers
from schemas.errors import EventError
from schemas.topics import Topic
from streams.archive.columns import EPOCH
from streams.archive.record import Record, headers_text

_DETAIL = 1_000
_TRACEBACK = 4_000
"""Characters of a traceback: the innermost frames say what happened."""


class DeadLetters:
    """Makes dead letters of one topic."""

    def __init__(self, topic: Topic, topic_id: str, ingested_at: datetime, kept_bytes: int) -> None:
        self._kept_bytes = kept_bytes
        self._common = {
            "kafka_topic": topic.name,
            "kafka_topic_id": topic_id,
            "ingested_at": ingested_at,
            "ingest_date": ingested_at.date(),
        }

    def refused(
        self, record: Record, error: EventError, headers: Headers | None, time_ms: int | None, note: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The record came, and breaks the contract. `note` says what of its metadata could not be kept."""
        noted = f" (Kafka: {dict(note)})" if note else ""
        detail = error.detail[:_DETAIL] + noted
        return self._came(record, error.reason, detail, record.key(), record.value(), headers, time_ms)

    def unexpected(self, record: Record, error: Exception) -> dict[str, Any]:
        """The record came, and something about it that nobody foresaw stops this program's code."""
        lines = "".join(traceback.format_exception(error))
        detail = f"{type(error).__name__}: {error}"[:_DETAIL] + "\n" + lines[-_TRACEBACK:]
        return self._came(record, "unexpected", detail, _bytes(record.key), _bytes(record.value), None, None)

    def absent(self, partition: int, first: int, count: int, detail: str, reason: str = "absent") -> dict[str, Any]:
        """No record came for these offsets."""
        place = {"kafka_partition": partition, "kafka_offset": first, "offsets": count}
        return {**self._common, **place, "reason": reason, "detail": detail}

    def _came(
        self,
        record: Record,
        reason: str,
        detail: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None,
        time_ms: int | None,
    ) -> dict[str, Any]:
        return {
            **self._common,
            "kafka_partition": record.partition() or 0,
            "kafka_offset": record.offset() or 0,
            "kafka_time": None if time_ms is None else EPOCH + timedelta(milliseconds=time_ms),
            "reason": reason,
            "detail": detail.encode("utf-8", "replace").decode(),
            "key": key,
            "value": None if value is None else value[: self._kept_bytes],
            "value_size": None if value is None else len(value),
            "value_sha256": None if value is None else hashlib.sha256(value).hexdigest(),
            "headers": headers_text(headers),
            "offsets": 1,
        }


def _bytes(get: Callable[[], Any]) -> bytes | None:
    """What a record says, where it says anything: it may be the very thing that raises."""
    with contextlib.suppress(Exception):
        if isinstance(found := get(), bytes):
            return found
    return None
