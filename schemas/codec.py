"""Bytes ⇄ event: the only place that reads or writes JSON events, and where old versions are lifted to new.

Bad bytes raise `EventError` with a countable reason and the field that is wrong; the archiver makes a dead letter.
Go on to `streams/producer.py` and `streams/archive.py`, the two users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from schemas.errors import EventError
from schemas.events import EVENT_TYPES, Event, event_type

MAX_DEPTH = 64
"""Nesting that no real message needs: deeper is an attack on the parser's stack."""
Headers = Sequence[tuple[str, bytes]]

_FIELDS: dict[str, frozenset[str]] = {
    name: frozenset(field.encode_name for field in msgspec.structs.fields(cls)) for name, cls in EVENT_TYPES.items()
}
_DECODERS = {name: msgspec.json.Decoder(cls) for name, cls in EVENT_TYPES.items()}
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder(order="deterministic")


class Decoded(msgspec.Struct, frozen=True):
    """One good event, with what its type does not know."""

    event: Event
    raw: dict[str, msgspec.Raw]
    """Every top-level field as the JSON text that came: nested columns are archived as they were sent."""
    extra: str | None
    """Unknown fields as one JSON object; None where there were none."""
    version: int
    """The event version that the producer wrote."""


def encode(event: Event) -> bytes:
    """An event as Kafka value bytes (JSON, fields in declared order)."""
    return _ENCODER.encode(event)


def headers(event: Event, source: str) -> list[tuple[str, bytes]]:
    """CloudEvents 1.0 Kafka binding, binary mode."""
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_source": source,
        "ce_type": event_type(event),
        "ce_time": event.time.isoformat().replace("+00:00", "Z"),
        "content-type": "application/json",
    }
    return [(name, value.encode()) for name, value in attributes.items()]


def decode(value: bytes | None, type_name: str) -> Decoded:
    """One event from Kafka value bytes.

    `type_name` is the topic's event type, or the record's `ce_type` where it has one (see `type_of`).
    Raises EventError: `empty`, `invalid_json`, `invalid_utf8`, `too_deep`, `unknown_type`, `invalid_field`.
    """
    if not value:
        raise EventError("empty", "the record has no value")
    if type_name not in _DECODERS:
        raise EventError("unknown_type", f"{type_name[:128]!r} is none of {', '.join(EVENT_TYPES)}")
    try:
        event = _DECODERS[type_name].decode(value)
        raw = _RAW.decode(value)
    except msgspec.ValidationError as error:
        raise EventError("invalid_field", str(error)) from error
    except msgspec.DecodeError as error:
        raise EventError(*_syntax(value, error)) from error
    except UnicodeDecodeError as error:
        raise EventError("invalid_utf8", str(error)) from error
    except RecursionError as error:
        raise EventError("too_deep", "nested beyond the parser's limit") from error
    return _checked(value, event, raw, type_name)


def type_of(record_headers: Headers | None, default: str) -> str:
    """The event type that a record claims in `ce_type`, or its topic's."""
    for name, value in record_headers or ():
        if name == "ce_type":
            return value.decode("utf-8", "replace") if value else default
    return default


def json_schemas() -> dict[str, dict[str, Any]]:
    """The language-neutral contract: a JSON Schema per event type."""
    return {
        name: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": name,
            **msgspec.json.schema(cls),
        }
        for name, cls in EVENT_TYPES.items()
    }


def _checked(value: bytes, event: Event, raw: dict[str, msgspec.Raw], type_name: str) -> Decoded:
    """What the typed decoder lets through: bad UTF-8 or depth inside fields that no type describes."""
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise EventError("invalid_utf8", str(error)) from error
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise EventError("too_deep", f"nested more than {MAX_DEPTH} levels")
    unknown = raw.keys() - _FIELDS[type_name]
    extra = _ENCODER.encode({name: raw[name] for name in sorted(unknown)}).decode() if unknown else None
    return Decoded(event, raw, extra, int(type_name.rpartition(".v")[2]))


def _depth(text: str) -> int:
    """Deepest nesting of brackets outside strings."""
    depth = deepest = 0
    in_string = escaped = False
    for char in text:
        if in_string:
            escaped, in_string = (char == "\\" and not escaped), char != '"' or escaped
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def _syntax(value: bytes, error: Exception) -> tuple[str, str]:
    try:
        value.decode()
    except UnicodeDecodeError as bad:
        return "invalid_utf8", str(bad)
    return "invalid_json", str(error)


def plain(event: Event) -> Mapping[str, Any]:
    """An event as plain JSON-able values, for ledgers and reports."""
    return dict(msgspec.to_builtins(event))
