"""What the mapper takes and gives: spans and log records with plain attributes; events as bytes, or a reason.

Go on to `schemas/otel/mapper.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

Attributes = Mapping[str, Any]
"""Attribute → text, number, truth value, or a list or mapping of these."""


class SpanEvent(NamedTuple):
    """Something that happened during a span."""

    name: str
    time_ns: int
    attributes: Attributes


class Span(NamedTuple):
    """One span, as far as it matters here."""

    trace_id: str
    """32 hexadecimal digits in lower case."""
    span_id: str
    """16 hexadecimal digits in lower case."""
    parent_span_id: str
    """Empty where it has none."""
    start_ns: int
    """Unix time."""
    end_ns: int
    attributes: Attributes
    events: Sequence[SpanEvent] = ()
    status: Literal["unset", "ok", "error"] = "unset"
    dropped_attributes: int = 0
    """Attributes that the instrumentation left out because there were too many."""
    resource: Attributes = MappingProxyType({})
    """Of the process: `service.name` and others."""
    scope: str = ""
    """The instrumentation that made it, and its version."""


class LogRecord(NamedTuple):
    """One log record that carries an event."""

    event_name: str
    time_ns: int
    attributes: Attributes
    body: Any = None
    trace_id: str = ""
    span_id: str = ""
    dropped_attributes: int = 0
    resource: Attributes = MappingProxyType({})
    scope: str = ""


class Mapped(NamedTuple):
    """An event by the contract, not yet checked against it."""

    type: str
    """`llm.interaction.v1` or `llm.feedback.v1`."""
    value: bytes
    """The event as JSON."""


class Outcome(NamedTuple):
    """What became of one span or log record."""

    events: tuple[Mapped, ...]
    skipped: str = ""
    """Why it is no event; empty where it is one. See `REASONS`."""


REASONS = {
    "not_llm": "it tells of something else than a call to a model",
    "no_content": "it carries no messages: the instrumentation must be told to record content",
    "legacy_event": "it is one message of a call, in the events of old: let the instrumentation write whole calls",
    "no_target": "it is an evaluation that names neither a response nor a span",
    "no_value": "it is an evaluation without anything that a verdict could be made of",
    "unexpected": "it stops the door's own code: the door's log says where",
}
"""Why a span or log record is no event."""
LOST = frozenset(REASONS) - {"not_llm"}
"""Reasons that somebody should hear of: something about a model was meant to arrive."""
