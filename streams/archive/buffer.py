"""What was consumed and not handed to the lake yet: the archiver's memory between two commits.

Filled and emptied by `streams/archive/archiver.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.settings import ArchiveSettings
from streams.archive.batch import Batch

COMMITS_A_SECOND = 2.0
"""To one table, by all members of the group together. Commits come one after the other: eight writers that commit as
fast as they can make no more of them than one does, each takes five times the CPU, and the last wait longest."""


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


def is_due(buffer: Buffer, now: float, limits: ArchiveSettings, members: int) -> bool:
    """Whether a batch is to be committed: bad events at once, others when they are many, large, or have waited."""
    return bool(buffer.dead) or (
        bool(buffer.parts)
        and (
            buffer.records >= limits.batch_rows * members
            or buffer.bytes >= limits.batch_bytes
            or now - buffer.since >= max(limits.batch_seconds, members / COMMITS_A_SECOND)
        )
    )


def members_of(partitions: int, mine: int) -> int:
    """How many share a topic, as one of them sees it: the group balances, so that each has as many partitions."""
    return max(1, round(partitions / max(1, mine)))
