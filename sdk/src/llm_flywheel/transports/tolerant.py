"""What the broker took, read whatever it is: clients end at a record whose header names are no UTF-8, for good.

Of kafka-python only the consumer that is given reads so; an application's own ones are as they were. There is no
public way to it: where a version of kafka-python has other insides, the consumer stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import methodcaller
from typing import Any

from llm_flywheel.counts import log

ask_headers = methodcaller("headers")
"""A record's headers. Where a name is no UTF-8, confluent-kafka both raises and answers, with a list that has a hole.
After some plain calls of `record.headers()` the interpreter no longer sees that it raised, and ends at the hole."""
OURS = "lz4"
"""What the flywheel compresses with: where that cannot be read nothing is ever heard, and the listener is told."""


def tolerate(consumer: Any) -> None:
    """Have it read header names that are no UTF-8 with U+FFFD in them, and pass over a batch that it cannot read."""
    fetcher: Any = getattr(consumer, "_fetcher", None)
    usual = getattr(fetcher, "PartitionRecords", None)
    if usual is None:
        return

    def tolerant(offset: int, partition: Any, batches: Any, **options: Any) -> Any:
        return usual(offset, partition, _Batches(batches), **options)

    fetcher.PartitionRecords = tolerant


class _Batches:
    """What one fetch brought."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)

    def next_batch(self) -> Any:
        """The next batch, or None."""
        batch = self._batches.next_batch()
        return batch if batch is None or batch.magic < 2 else _Batch(batch)


class _Batch:
    """A batch whose check sum holds, and whose records may be anything."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            records = iter(self._batch)
            while (record := self._next(records)) is not None:
                yield record
        except Exception as error:
            if type(error).__name__ == "UnsupportedCodecError" and OURS in str(error):
                raise
            log.warning(
                "llm_flywheel: records from offset %s on cannot be read and are passed over: %.300s",
                self._batch.base_offset, error,
            )  # fmt: skip

    def _next(self, records: Iterator[Any]) -> Any:
        try:
            return next(records, None)
        except Exception as error:
            if not isinstance(error.__context__, UnicodeDecodeError):
                raise
            self._batch._buffer = Lenient(self._batch._buffer)  # noqa: SLF001
            return next(records, None)  # the same record: its reader moves on after a whole one


class Lenient(bytearray):
    """Bytes whose parts decode whatever they are."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return Lenient(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:  # noqa: ARG002 - one signature
        """The text, with U+FFFD for what is no such text."""
        return super().decode(encoding, "replace")
