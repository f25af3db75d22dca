"""Span or log record → events: which of them are calls to a model, what they say, and under which id.

A span that is exported twice is one event, and so is a call that the SDK or a gateway has seen too: ids are made of the
response's id, or of the span's. What was cut or dropped on the way is marked and never trained on. Go on to
`schemas/otel/genai.py`, `schemas/otel/openinference.py` and `schemas/otel/evaluation.py`.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from llm_flywheel.events import consent
from llm_flywheel.events import cut as shortened
from llm_flywheel.ids import NAMESPACE, interaction_id, is_id, span_interaction_id
from schemas.otel.evaluation import EVALUATION, feedback_of
from schemas.otel.genai import fields_of_genai, is_call
from schemas.otel.openinference import CALL, KIND, fields_of_openinference
from schemas.otel.span import Attributes, LogRecord, Mapped, Outcome, Span, SpanEvent
from schemas.otel.values import first, last_part, milliseconds, name

DETAILS = "gen_ai.client.inference.operation.details"
"""The log record that holds a whole call, for those who keep content out of traces."""
LEGACY = frozenset({f"gen_ai.{each}.message" for each in ("system", "user", "assistant", "tool")} | {"gen_ai.choice"})
"""Log records that hold one message each: the conventions of old."""
INTERACTION, FEEDBACK = "llm.interaction.v1", "llm.feedback.v1"
CONVERSATION = ("gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id")
USER = ("user.id", "enduser.id", "gen_ai.user", "traceloop.association.properties.user_id")
PROMPT_VERSION = ("flywheel.prompt_version", "langfuse.observation.prompt.version")
MAX_BYTES = 1_000_000
"""A longer event loses its texts, and is marked: the archiver takes 1 MiB, and no text beyond a million characters."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode


def of_span(span: Span, application: str | None = None) -> Outcome:
    """The events that a span tells of: an interaction, and the evaluations among its span events.

    `application` stands above the span's own `service.name`.
    """
    application = application or application_of(span.resource)
    kind = span.attributes.get(KIND)
    failed = span.status == "error"
    found: dict[str, Any] | None = None
    if kind == CALL:
        found = fields_of_openinference(span, failed)
    if kind in (None, CALL) and is_call(span.attributes):
        found = found if found and found["input_messages"] else fields_of_genai(span.attributes, failed)
    interaction = None
    if found is not None and found["input_messages"]:
        if failed:
            found["error_type"] = _error(span)
        found["duration_ms"] = milliseconds(span.end_ns - span.start_ns)
        found["parent_span_id"] = span.parent_span_id or None
        interaction = _interaction(found, span, span.start_ns, application)
    evaluations = _evaluations(span, application, interaction and interaction[0])
    if interaction:
        return Outcome((interaction[1], *evaluations))
    skipped = "no_content" if found is not None else "" if evaluations else "not_llm"
    return Outcome(tuple(evaluations), skipped)


def of_log(record: LogRecord, application: str | None = None) -> Outcome:
    """The event that a log record tells of: a whole call, or an evaluation."""
    application = application or application_of(record.resource)
    if record.event_name == EVALUATION:
        target = _target(record.attributes, record, application)
        if target is None:
            return Outcome((), "no_target")
        event = SpanEvent(record.event_name, record.time_ns, record.attributes)
        heard = _evaluation(event, record, application, target)
        return Outcome((heard,)) if heard else Outcome((), "no_value")
    if record.event_name != DETAILS:
        return Outcome((), "legacy_event" if record.event_name in LEGACY else "not_llm")
    if not is_call(record.attributes):
        return Outcome((), "not_llm")
    error = record.attributes.get("error.type")
    found = fields_of_genai(record.attributes, bool(error))
    if not found["input_messages"]:
        return Outcome((), "no_content")
    if error:
        found["error_type"] = last_part(error)
    return Outcome((_interaction(found, record, record.time_ns, application)[1],))


def application_of(resource: Attributes) -> str:
    """The name under which a process's spans are counted: its `service.name`."""
    return name(resource.get("service.name")) or "unknown_service"


def _interaction(found: dict[str, Any], source: Span | LogRecord, time_ns: int, application: str) -> tuple[str, Mapped]:
    """The event, and its id."""
    attributes, cut = source.attributes, found.pop("cut")
    event = {
        "id": _of_response(application, found["response_id"], found.pop("created", None))
        or span_interaction_id(application, source.trace_id, source.span_id or str(time_ns)),
        "time": _time(time_ns),
        "application": application,
        "conversation_id": name(first(attributes, *CONVERSATION)) or source.trace_id or None,
        "user_id": name(first(attributes, *USER)),
        **found,
        "request_model": found["request_model"] or "unknown",
        "prompt_version": first(attributes, *PROMPT_VERSION) or found.get("prompt_version"),
        "variant": attributes.get("flywheel.variant"),
        "training_consent": consent(attributes.get("flywheel.training_consent")),
        "trace_id": source.trace_id,
        "span_id": source.span_id,
        "otel_scope": source.scope,
    }
    for field in TEXTS:
        if event.get(field) is not None and not isinstance(event[field], str):
            event[field] = str(event[field])
    event["conversation_id"] = event["conversation_id"] or event["id"]
    if source.dropped_attributes or cut:
        event |= {"training_consent": False, "otel_dropped_attributes": source.dropped_attributes, "otel_cut": cut}
    return str(event["id"]), Mapped(INTERACTION, _bytes(event))


TEXTS = ("operation_name", "provider_name", "response_model", "response_id", "prompt_version", "variant")
"""Fields that are text, whatever an attribute holds."""


def _evaluations(span: Span, application: str, interaction: str | None) -> list[Mapped]:
    """The evaluations among a span's events: of the response that they name, else of the span's own call."""
    found = []
    for event in span.events:
        if event.name == EVALUATION:
            target = _target(event.attributes, span, application, interaction)
            heard = _evaluation(event, span, application, target) if target else None
            found += [heard] if heard else []
    return found


def _evaluation(event: SpanEvent, source: Span | LogRecord, application: str, target: str) -> Mapped | None:
    said = feedback_of(event.attributes)
    if said is None:
        return None
    place = f"{target}\n{event.time_ns}\n{said['kind']}\n{said['source']}"
    return Mapped(FEEDBACK, _bytes({
        "id": str(uuid.uuid5(NAMESPACE, place)),
        "time": _time(event.time_ns),
        "application": application,
        "conversation_id": _among(CONVERSATION, event, source) or source.trace_id or target,
        "interaction_id": target,
        "user_id": _among(USER, event, source),
        **said,
    }))  # fmt: skip


def _among(names: tuple[str, ...], event: SpanEvent, source: Span | LogRecord) -> str | None:
    """What the event says, else what stands around it."""
    return name(first(event.attributes, *names) or first(source.attributes, *names))


def _target(
    attributes: Attributes, source: Span | LogRecord, application: str, interaction: str | None = None
) -> str | None:
    """The interaction that an evaluation is about: the one it names, that of its response, or that of the span."""
    named = attributes.get("flywheel.interaction_id")
    if is_id(named):
        return str(named)
    response_id = first(attributes, "gen_ai.response.id")
    made = _of_response(application, response_id, None) if response_id is not None else None
    if made or interaction:
        return made or interaction
    return span_interaction_id(application, source.trace_id, source.span_id) if source.span_id else None


def _of_response(application: str, response_id: Any, created: float | None) -> str | None:
    """One id for all doors (docs/contracts.md); None where the response has none that is unique."""
    try:
        return interaction_id(application, str(response_id or ""), created)
    except (ValueError, OverflowError):
        return None


def _error(span: Span) -> str:
    thrown = next((event.attributes for event in span.events if event.name == "exception"), {})
    return last_part(first(span.attributes, "error.type") or first(thrown, "exception.type") or "error")


def _time(time_ns: int) -> str:
    """RFC 3339; of a time that no clock shows, 1970."""
    try:
        return (EPOCH + timedelta(microseconds=time_ns // 1000)).isoformat()
    except OverflowError:
        return EPOCH.isoformat()


def _bytes(event: dict[str, Any]) -> bytes:
    event = {key: each for key, each in event.items() if each or each == 0}  # zero and False say something
    value = _encode(event)
    return value if len(value) <= MAX_BYTES else _encode(shortened(event))
