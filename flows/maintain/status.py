"""How the way into the lake is doing: lag per partition, rows, bytes, last commits, dead letters by reason.

Lag is what Kafka holds beyond the table's own committed offset; consumer group offsets are not asked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from schemas.errors import BrokerError, UsageError
from schemas.settings import KafkaSettings
from schemas.tables import TABLES
from schemas.topics import ARCHIVED
from streams.admin import Admin
from streams.lake import Lake
from streams.lake.append import committed_id
from streams.lake.maintain import files
from streams.lake.query import query

LETTERS = Path(__file__).with_name("dead_letters.sql")


class PartitionLag(msgspec.Struct, frozen=True):
    """One Kafka partition against its table."""

    topic: str
    partition: int
    archived: int | None
    """The table's committed offset; None: nothing archived yet."""
    latest: int
    lag: int
    lost: int
    """Events that Kafka no longer holds and the table never got."""


class TableState(msgspec.Struct, frozen=True):
    """One table of the lake."""

    name: str
    version: int
    rows: int
    files: int
    bytes: int
    last_commit: datetime | None


class Condition(msgspec.Struct, frozen=True):
    """All of it."""

    tables: list[TableState]
    partitions: list[PartitionLag]
    dead_letters: list[dict[str, Any]]
    """`kafka_topic`, `reason`, `offsets`, `newest`."""
    kafka: str
    """Empty, or why Kafka could not be asked."""


def condition(lake: Lake, kafka: KafkaSettings) -> Condition:
    """Ask the lake, and Kafka where it answers."""
    letters = query(lake, LETTERS.read_text(), lake.versions(["dead_letters"])).to_pylist()
    tables = [_table(lake, name) for name in TABLES if lake.exists(name)]
    try:
        return Condition(tables, lags(lake, Admin(kafka)), letters, "")
    except (BrokerError, UsageError) as error:
        return Condition(tables, [], letters, str(error))


def lags(lake: Lake, admin: Admin) -> list[PartitionLag]:
    """Each archived partition against its table."""
    names = [topic.name for topic in ARCHIVED]
    ids, held, found = admin.topic_ids(names), admin.offsets(names), []
    for topic in ARCHIVED:
        handle = lake.open(topic.table) if lake.exists(topic.table) else None
        for (name, number), kafka in sorted(held.items()):
            if name == topic.name:
                committed = (
                    handle.transaction_version(committed_id(name, ids.get(name, ""), number)) if handle else None
                )
                at = kafka.earliest if committed is None else committed
                lost = max(0, kafka.earliest - at)
                lag = max(0, kafka.stable - at - lost)  # an open transaction's events cannot be read yet
                found.append(PartitionLag(name, number, committed, kafka.latest, lag, lost))
    return found


def _table(lake: Lake, name: str) -> TableState:
    handle = lake.open(name)
    data = files(handle)
    commits = handle.history(1)
    last = datetime.fromtimestamp(commits[0]["timestamp"] / 1000, UTC) if commits else None
    return TableState(
        name, handle.version(), sum(file.rows for file in data), len(data), sum(file.size for file in data), last
    )
