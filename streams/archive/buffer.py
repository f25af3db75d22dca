"""What was consumed and not handed to the lake yet: the archiver's memory between two commits.

Filled and emptied by `streams/archive/archiver.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streams.archive.batch import Batch


class Buffer:
    """What was consumed of one topic and was not handed to the lake yet."""

    def __init__(self) -> None:
        self.parts: list[Batch] = []
        self.records = 0
        self.bytes = 0
        self.since = 0.0
        """Monotonic time of the oldest record."""
        self.dead: list[dict[str, Any]] = []
        """Losses found at a seek, to be landed with the next batch."""

    def add(self, part: Batch, records: Sequence[Any], now: float) -> None:
        """Take what was made of records."""
        if not self.parts:
            self.since = now
        self.parts.append(part)
        self.records += len(records)
        self.bytes += sum(map(len, records))  # a message's length is its value's

    def drop(self, partition: int) -> None:
        """Forget what came from a partition."""
        self.parts = [part.without(partition) for part in self.parts]
        self.dead = [letter for letter in self.dead if letter["kafka_partition"] != partition]
