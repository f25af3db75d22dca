"""aiokafka made to read records whose header names are no UTF-8: it would end triage at such a record, for good.

A batch that it cannot read is read again by its own slower code, over bytes that decode leniently. Everything else goes
its usual way. `streams/triage/app.py` calls `tolerate` before it starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher  # type: ignore[import-untyped]
from aiokafka.record.default_records import _DefaultRecordBatchPy  # type: ignore[import-untyped]
from aiokafka.record.memory_records import _MemoryRecordsPy  # type: ignore[import-untyped]

from llm_flywheel.transports.tolerant import Lenient


def tolerate() -> None:
    """Have aiokafka read every header name from now on: bytes that are no UTF-8 become U+FFFD."""
    fetcher.MemoryRecords = Records


class Records:
    """What one fetch brought, batch by batch: in place of aiokafka's `MemoryRecords`, as its fetcher asks for it."""

    def __init__(self, data: bytes) -> None:
        self._all = _MemoryRecordsPy(data)

    def size_in_bytes(self) -> int:
        """Bytes of all batches."""
        return int(self._all.size_in_bytes())

    def has_next(self) -> bool:
        """Whether there is another batch."""
        return bool(self._all.has_next())

    def next_batch(self) -> Any:
        """The next batch, or None."""
        data = self._all._next_slice  # noqa: SLF001 - there is no public way to a batch's bytes
        batch = self._all.next_batch()
        return None if batch is None or data is None else _Batch(batch, data)


class _Batch:
    """A batch as aiokafka reads it, and what cannot be read so, read leniently."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch, self._data = batch, data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                read += 1
                yield record
        except UnicodeDecodeError:
            yield from islice(self._lenient(), read, None)

    def _lenient(self) -> Iterator[Any]:
        batch = _DefaultRecordBatchPy(self._data)
        batch._maybe_uncompress()  # noqa: SLF001 - its iterator's first step
        batch._buffer = Lenient(batch._buffer)  # noqa: SLF001
        return iter(batch)
