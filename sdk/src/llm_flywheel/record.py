"""A record: an event as bytes, ready for Kafka, the door, or a file.

On Kafka the value stands alone, with CloudEvents attributes as headers (binary mode); everywhere else it is wrapped as
a CloudEvent (structured mode), one JSON object with the event under `data`.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from llm_flywheel.events import MAX_TEXT, cut

SOURCE = "/llm-flywheel-sdk"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class Record(NamedTuple):
    """One event, encoded."""

    type: str
    id: str
    key: str
    """The conversation, which keeps order on Kafka."""
    time: str
    value: bytes
    """The event as JSON."""

    def headers(self) -> list[tuple[str, bytes]]:
        """CloudEvents 1.0, Kafka binding, binary mode."""
        attributes = {
            "ce_specversion": "1.0", "ce_id": self.id, "ce_source": SOURCE, "ce_type": self.type,
            "ce_time": self.time, "content-type": "application/json",
        }  # fmt: skip
        return [(name, text.encode()) for name, text in attributes.items()]

    def cloud_event(self) -> bytes:
        """CloudEvents 1.0, JSON format, structured mode: no line break inside."""
        head = _encode({
            "specversion": "1.0", "id": self.id, "source": SOURCE, "type": self.type, "time": self.time,
            "datacontenttype": "application/json",
        })  # fmt: skip
        return head[:-1].encode() + b',"data":' + self.value + b"}"

    def pack(self) -> bytes:
        """As the journal keeps it; `unpack` reads it."""
        return _encode([self.type, self.id, self.key, self.time]).encode("utf-8", "replace") + b"\n" + self.value


def unpack(data: bytes) -> Record:
    """A record of the journal. Raises ValueError."""
    head, _, value = data.partition(b"\n")
    event_type, event_id, key, time = json.loads(head)
    return Record(event_type, event_id, key, time, value)


def record(event_type: str, event: dict[str, Any], max_bytes: int) -> tuple[Record, bool]:
    """An event by the contract as a record, and whether its texts were cut. Raises ValueError, TypeError."""
    value = _bytes(event)
    too_long = len(value) > max_bytes or (len(value) > MAX_TEXT // 2 and _has_long_text(event))
    if too_long:
        value = _bytes(cut(event))
        if len(value) > max_bytes:
            raise ValueError(f"{len(value)} bytes are left after its texts were cut")
    return Record(event_type, event["id"], event["conversation_id"], event["time"], value), too_long


def from_line(line: bytes) -> Record:
    """A record from a CloudEvent in JSON, as `cloud_event` writes it. Raises ValueError."""
    try:
        envelope = json.loads(line)
        event = envelope["data"]
        return Record(envelope["type"], event["id"], event["conversation_id"], event["time"], _bytes(event))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no event: {error!r}") from error


def _bytes(event: dict[str, Any]) -> bytes:
    return _encode(event).encode("utf-8", "replace")  # half a surrogate pair is no text in any other language


def _has_long_text(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) > MAX_TEXT
    each = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_has_long_text(one) for one in each)
