"""Events for tests: numbered, valid, the same each time; and a lake in which they have happened, without Kafka.

Go on to `world.py`.
"""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from schemas.events import Erasure, Event, Feedback, Interaction, to_json
from schemas.tables import TABLES
from streams.lake import Lake
from streams.lake.append import append, to_rows

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def event_id(n: int) -> str:
    """A UUIDv7-shaped id that is the same for the same number."""
    return str(uuid.UUID(int=(0x0190_0000_0000 << 80) | (7 << 76) | (2 << 62) | n))


def interaction(n: int, **fields: Any) -> Interaction:
    """The n-th interaction: valid, unless `fields` say otherwise."""
    values: dict[str, Any] = {
        "id": event_id(n),
        "time": START + timedelta(seconds=n),
        "application": "support-bot",
        "conversation_id": f"conversation-{n}",
        "user_id": f"user-{n % 7}",
        "request_model": "bot-1",
        "input_messages": [{"role": "user", "content": f"question {n}"}],
        "output_messages": [{"role": "assistant", "content": f"answer {n}"}],
    }
    return msgspec.convert({**values, **fields}, Interaction)


def feedback(n: int, about: Interaction, kind: str = "thumb", **fields: Any) -> Feedback:
    """The n-th feedback event, about an interaction; thumbs are down unless `fields` say otherwise."""
    values: dict[str, Any] = {
        "id": event_id(1_000_000 + n),
        "time": about.time + timedelta(seconds=30),
        "application": about.application,
        "conversation_id": about.conversation_id,
        "interaction_id": about.id,
        "user_id": about.user_id,
        "kind": kind,
    }
    if kind == "thumb":
        values["value"] = 0
    return msgspec.convert({**values, **fields}, Feedback)


TABLE_OF = {Interaction: "interactions", Feedback: "feedback", Erasure: "erasures"}
NESTED = ("input_messages", "output_messages", "tool_definitions", "request_parameters")
_offsets = itertools.count()


def happened(lake: Lake, *events: Event) -> None:
    """Put events into their raw tables as the archiver would, one commit a table."""
    for cls, name in TABLE_OF.items():
        rows = [_raw(event) for event in events if type(event) is cls]
        if rows:
            append(lake, name, to_rows(name, rows), {})


def _raw(event: Event) -> dict[str, Any]:
    values = {name: getattr(event, name) for name in event.__struct_fields__}
    nested = {name: to_json(values[name]) for name in NESTED if values.get(name) is not None}
    place = {
        "event_version": 1,
        "kafka_partition": 0,
        "kafka_offset": next(_offsets),
        "kafka_time": event.time,
        "ingested_at": event.time,
        "ingest_date": event.time.date(),
        "signed_by": "this home",  # of an erasure: it is in force
    }
    row = {**msgspec.to_builtins(values, builtin_types=(datetime,)), **nested, **place}
    return {name: row.get(name) for name in TABLES[TABLE_OF[type(event)]].schema.names}
