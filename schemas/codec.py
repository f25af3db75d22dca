"""Bytes ⇄ event: the only place that reads or writes JSON events, and where old versions are lifted to new.

Bad bytes raise `EventError` with a countable reason and the field that is wrong; the archiver makes a dead letter.
Go on to `schemas/rows.py` for the archiver's faster way to the same answer, and to `streams/producer.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from schemas import events
from schemas.errors import EventError
from schemas.events import EVENT_TYPES, Event, event_type
from schemas.messages import read_messages, text_of
from schemas.reasons import reasons

MAX_DEPTH = 64
"""Nesting that no real message needs: deeper is an attack on the parser's stack."""
TYPE_HEADER = "ce_type"
"""CloudEvents' attribute that names an event's type and version."""
Headers = Sequence[tuple[str, bytes]]

Lift = Callable[[dict[str, Any]], dict[str, Any]]
LIFTS: dict[str, Lift] = {}
"""Old event type → how its plain value becomes one of the next version. Empty while every type is at v1; each entry
has golden files of both versions in tests/schemas/golden."""

_FIELDS: dict[str, frozenset[str]] = {
    name: frozenset(field.encode_name for field in msgspec.structs.fields(cls)) for name, cls in EVENT_TYPES.items()
}
_DECODERS = {name: msgspec.json.Decoder(cls) for name, cls in EVENT_TYPES.items()}
_CHOICES: dict[str, dict[str, str]] = {
    name: {
        field: ", ".join(map(str, get_args(hint)))
        for field, hint in get_type_hints(cls).items()
        if get_origin(hint) is Literal
    }
    for name, cls in EVENT_TYPES.items()
}
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder(order="deterministic")
_NEWEST: dict[str, str] = {name.rpartition(".v")[0]: name for name in EVENT_TYPES}
_TYPE = re.compile(r"(llm\.[a-z]+)\.v([1-9][0-9]{0,3})")
_NO_CHOICE = re.compile(r"Invalid enum value .* - at `\$\.(\w+)`", re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


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
        TYPE_HEADER: event_type(event),
        "ce_time": event.time.isoformat().replace("+00:00", "Z"),
        "content-type": "application/json",
    }
    return [(name, value.encode()) for name, value in attributes.items()]


def decode(value: bytes | None, type_name: str) -> Decoded:
    """One event from Kafka value bytes.

    `type_name` is the topic's event type, or the record's `ce_type` where it has one (see `type_of`). An older
    version is lifted; a newer one is read as the newest that is known, its new fields landing in `extra`.
    Raises EventError: `empty`, `invalid_json`, `invalid_utf8`, `too_deep`, `unknown_type`, `invalid_field`.
    """
    if not value:
        raise EventError("empty", "the record has no value")
    known, version = known_type(type_name)
    try:
        value = _lifted(value, type_name, known)
        event = _DECODERS[known].decode(value)
        raw = _RAW.decode(value)
        _ANY.decode(value)  # what no type describes must be readable too: bad UTF-8, surrogates, numbers beyond range
        value.decode()
    except msgspec.ValidationError as error:
        raise EventError("invalid_field", _with_choices(str(error), known)) from error
    except msgspec.DecodeError as error:
        raise EventError(*_syntax(value, error)) from error
    except UnicodeDecodeError as error:
        raise EventError("invalid_utf8", str(error)) from error
    except RecursionError as error:
        raise EventError("too_deep", "nested beyond the parser's limit") from error
    check_depth(value)
    unknown = set(raw.keys() - _FIELDS[known])
    if isinstance(parts := getattr(event, "system_instructions", None), list):
        text = text_of(read_messages([{"role": "system", "content": parts}]).chat)
        event = msgspec.structs.replace(event, system_instructions=text)
        unknown.add("system_instructions")
    extra = _ENCODER.encode({name: raw[name] for name in sorted(unknown)}).decode() if unknown else None
    return Decoded(event, raw, extra, version)


def known_type(type_name: str) -> tuple[str, int]:
    """The newest known event type that a claimed type belongs to, and the version claimed.

    Raises EventError `unknown_type`.
    """
    found = _TYPE.fullmatch(type_name)
    if found is None or found[1] not in _NEWEST:
        raise EventError("unknown_type", f"{type_name[:128]!r} is none of {', '.join(EVENT_TYPES)}")
    return _NEWEST[found[1]], int(found[2])


def type_of(record_headers: Headers | None, default: str) -> str:
    """The event type that a record claims in `ce_type`, or its topic's where it claims none or that among others."""
    claims = [value for name, value in record_headers or () if name == TYPE_HEADER and value]
    if not claims or default.encode() in claims:
        return default
    return claims[0].decode("utf-8", "replace") if isinstance(claims[0], bytes) else str(claims[0])


def check_depth(value: bytes, above: int = 0) -> None:
    """Raise EventError `too_deep` for JSON nested more than MAX_DEPTH levels, of which so many are above it."""
    if value.count(b"[") + value.count(b"{") <= MAX_DEPTH - above:  # so few cannot be deep: 1 µs for nearly all
        return
    brackets = _STRING.sub(b"", value).translate(None, _NOT_BRACKETS)
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > MAX_DEPTH - above:
        raise EventError("too_deep", f"nested more than {MAX_DEPTH} levels")


def json_schemas() -> dict[str, dict[str, Any]]:
    """The language-neutral contract: a JSON Schema per event type, each field with the sentence that explains it."""
    return {
        name: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": name,
            **_described(msgspec.json.schema(cls)),
        }
        for name, cls in EVENT_TYPES.items()
    }


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    sentences = reasons(events)
    for structure, definition in schema["$defs"].items():
        for field, about in definition.get("properties", {}).items():
            if sentence := sentences.get((structure, field)):
                about["description"] = sentence
    return schema


def plain(event: Event) -> Mapping[str, Any]:
    """An event as plain JSON-able values, for ledgers and reports."""
    return dict(msgspec.to_builtins(event))


def _lifted(value: bytes, type_name: str, known: str) -> bytes:
    """The value as the known version would have been written: one lift after the other."""
    while type_name != known and type_name in LIFTS:
        value = _ENCODER.encode(LIFTS[type_name](_ANY.decode(value)))
        stem, _, version = type_name.rpartition(".v")
        type_name = f"{stem}.v{int(version) + 1}"
    return value


def _with_choices(error: str, known: str) -> str:
    """The error, with what the field takes where it has a fixed set of values and got another."""
    field = _NO_CHOICE.fullmatch(error)
    choices = _CHOICES[known].get(field[1]) if field else None
    return f"{error}; it is one of {choices}" if choices else error


def _syntax(value: bytes, error: Exception) -> tuple[str, str]:
    try:
        value.decode()
    except UnicodeDecodeError as bad:
        return "invalid_utf8", str(bad)
    return "invalid_json", str(error)
