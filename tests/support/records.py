"""A record as Kafka's clients hand it out, without Kafka."""

from __future__ import annotations

from typing import Any

TIME_MS = 1_767_600_000_000
"""When one may have been made; by itself it says nothing of that, which is -1."""


class Record:
    """One record, of partition 0 unless it says otherwise."""

    def __init__(
        self,
        offset: int,
        value: bytes | None,
        headers: Any = None,
        key: bytes | None = b"key",
        partition: int = 0,
        time_ms: int = -1,
    ) -> None:
        self._offset, self._value, self._headers, self._key, self._partition = offset, value, headers, key, partition
        self._time_ms = time_ms

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, self._time_ms

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Any:
        return self._headers
