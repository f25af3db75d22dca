"""Dead letters looked at and sent again: bad events whose cause has been mended since.

Go on to `streams/producer.py`, which sends them again.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from schemas.codec import decode, type_of
from schemas.errors import EventError, UsageError
from schemas.tables import DEAD_LETTERS
from schemas.topics import BY_NAME
from streams.lake import Lake
from streams.lake.parts import holding
from streams.lake.query import query
from streams.producer import EventProducer

SQL = Path(__file__).with_name("dead_letters.sql")
CONTENT = frozenset({"key", "value", "headers"})
"""The columns that hold what came, as it came."""


class Resent(msgspec.Struct):
    """What became of dead letters that were to be sent again."""

    sent: int = 0
    there: int = 0
    """Whose event is in the lake already: sent again before, or by its producer."""
    kept: Counter[str] = msgspec.field(default_factory=Counter)
    """Why the others stay: still bad, cut when they were stored, or without content."""


def find(lake: Lake, *, topic: str = "", reason: str = "", content: bool = True) -> list[dict[str, Any]]:
    """Dead letters, oldest first, in the order of their offsets; empty text means any.

    Without `content` what the letters hold stays on disk: a poisoned topic has more of it than memory.
    Raises UsageError for a topic that nobody knows.
    """
    if topic and topic not in BY_NAME:
        raise UsageError(f"there is no topic {topic!r}; known are {', '.join(BY_NAME)}")
    wanted = [name for name in DEAD_LETTERS.schema.names if content or name not in CONTENT]
    sql = f"SELECT {', '.join(wanted)} FROM ({SQL.read_text()})"  # noqa: S608 names are ours
    versions = lake.versions([DEAD_LETTERS.name])
    rows = query(lake, sql, versions, {"topic": topic, "reason": reason}).to_pylist()
    return sorted(rows, key=lambda row: (row["ingested_at"], *_place(row)))


def name_of(row: dict[str, Any]) -> str:
    """How a person names a dead letter: topic, partition and offset."""
    return ":".join(map(str, _place(row)))


def _place(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["kafka_topic"], row["kafka_partition"], row["kafka_offset"]


def find_one(lake: Lake, name: str) -> dict[str, Any]:
    """The dead letter of a name (the newest, should a topic have been made anew). Raises UsageError."""
    rows = [row for row in find(lake) if name_of(row) == name]
    if not rows:
        raise UsageError(f"there is no dead letter {name!r}; `flywheel dead-letter list` names them all")
    return rows[-1]


def resend(lake: Lake, producer: EventProducer, letters: list[dict[str, Any]]) -> Resent:
    """Send each letter that this version can read to its topic again, as it came; the rest stay, with a reason.

    Letters are never deleted, and sending twice is harmless: an event whose id is in the lake is not sent again.
    """
    result, readable = Resent(), []
    for row in letters:
        if problem := _problem(row):
            result.kept[problem] += 1
            continue
        topic = BY_NAME[row["kafka_topic"]]
        headers = [(name, (text or "").encode()) for name, text in msgspec.json.decode(row["headers"] or "[]")]
        try:
            event = decode(row["value"], type_of(headers, topic.event_type)).event
        except EventError as error:
            result.kept[error.reason] += 1
        else:
            readable.append((event.id, topic, row, headers))
    there = _there(lake, {id_ for id_, *_ in readable})
    for id_, topic, row, headers in readable:
        if id_ in there:
            result.there += 1
        else:
            producer.send_bytes(topic, row["key"], row["value"], headers)
            result.sent += 1
    producer.flush()
    return result


def _problem(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return "no content"
    return "cut when it was stored" if len(row["value"]) < row["value_size"] else ""


def _there(lake: Lake, ids: set[str]) -> set[str]:
    """Those of some ids that are in the lake, as whatever."""
    wanted = pa.array(sorted(ids), pa.string())
    found: set[str] = set()
    for name in sorted({topic.table for topic in BY_NAME.values() if topic.table}):
        part = {name: holding(lake, name, version := lake.version(name), "id", wanted)}
        found |= set(query(lake, f"SELECT id FROM {name}", {name: version}, parts=part)["id"].to_pylist())  # noqa: S608
    return found
