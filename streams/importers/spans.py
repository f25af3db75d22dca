"""Stored spans: OTLP in JSON lines (the Collector's file exporter), Phoenix's table of spans, MLflow's traces.

What a span means says the one mapper of all doors, `schemas/otel`. MLflow's spans carry attributes of its own, and its
assessments become feedback on the last call of their trace. Go on to `importer.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from schemas.otel import LogRecord, Span, SpanEvent, of_log, of_span
from streams.doors.otlp import BadRequest
from streams.doors.otlp import read as read_otlp
from streams.importers.index import Index
from streams.importers.made import (
    FEEDBACK,
    INTERACTION,
    Format,
    Left,
    Made,
    Options,
    Outcome,
    Row,
    event,
    messages,
    milliseconds,
    name,
    number,
    opened,
    own_id,
    said,
    time_of,
)

SOURCE = "spans"
CALLS = {"CHAT_MODEL", "LLM"}
BY = {"LLM_JUDGE": "judge", "CODE": "judge", "HUMAN": None}


def read(row: Row, options: Options, _: Index) -> Iterator[Outcome]:
    """Events of a line of OTLP, a row of Phoenix's table, or a trace of MLflow's."""
    if "resourceSpans" in row or "resourceLogs" in row:
        yield from _otlp(row, options)
    elif "context.span_id" in row or "context" in row:
        yield from _mapped(_phoenix(row), options)
    elif "spans" in row and ("trace_id" in row or "info" in row):
        yield from _mlflow(row, options)
    else:
        yield Left("unknown_row")


SPANS = Format(read)


def _otlp(row: Row, options: Options) -> Iterator[Outcome]:
    signal = "traces" if "resourceSpans" in row else "logs"
    try:
        sources = list(read_otlp(msgspec.json.encode(row), signal, json=True))  # type: ignore[arg-type] # one of 2
    except BadRequest:
        yield Left("unknown_row")
        return
    for source in sources:
        yield from _mapped(source, options)


def _mapped(source: Span | LogRecord, options: Options) -> Iterator[Outcome]:
    found = of_span(source, options.application) if isinstance(source, Span) else of_log(source, options.application)
    for each in found.events:
        yield Made(each.type, msgspec.json.decode(each.value))
    if not found.events:
        yield Left("no_messages" if found.skipped == "no_content" else found.skipped or "not_llm")


def _phoenix(row: Row) -> Span:
    """A row of `get_spans_dataframe`: columns `attributes.…`, whole objects among them."""
    flat = dict(_flat("", {key: value for key, value in row.items() if value is not None}))
    attributes = {
        key.removeprefix("attributes."): value for key, value in flat.items() if key.startswith("attributes.")
    }
    attributes.setdefault("openinference.span.kind", row.get("span_kind"))
    events = opened(row.get("events"))
    return Span(
        str(flat.get("context.trace_id", "")),
        str(flat.get("context.span_id", "")),
        str(row.get("parent_id") or ""),
        _nanoseconds(row.get("start_time")),
        _nanoseconds(row.get("end_time")),
        attributes,
        [_event(each) for each in events if isinstance(each, Mapping)] if isinstance(events, list) else [],
        "error" if str(row.get("status_code")).upper() == "ERROR" else "unset",
    )


def _event(each: Mapping[str, Any]) -> SpanEvent:
    attributes = each.get("attributes")
    return SpanEvent(
        str(each.get("name")),
        _nanoseconds(each.get("timestamp")),
        attributes if isinstance(attributes, Mapping) else {},
    )


def _flat(head: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Nested attributes as OpenInference writes them flat: `llm.input_messages.0.message.role`."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flat(f"{head}.{key}" if head else str(key), each)
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for number, each in enumerate(value):
            yield from _flat(f"{head}.{number}", each)
    elif value is not None:
        yield head, value


def _mlflow(row: Row, options: Options) -> Iterator[Outcome]:
    """The calls of a trace, and what was said of it."""
    info = opened(row.get("info")) or {}
    trace = str(row.get("trace_id") or info.get("trace_id"))
    metadata = opened(row.get("trace_metadata") or info.get("trace_metadata")) or {}
    last: dict[str, Any] | None = None
    for span in opened(row.get("spans")) or []:
        made = _call(span, trace, metadata, options) if isinstance(span, Mapping) else Left("unknown_row")
        yield made
        if isinstance(made, Made) and (last is None or last["time"] <= made.event["time"]):
            last = made.event
    for at, each in enumerate(opened(row.get("assessments")) or []):
        yield from _assessment(each, at, trace, last, options)


def _call(span: Mapping[str, Any], trace: str, metadata: Mapping[str, Any], options: Options) -> Outcome:
    attributes = {key: opened(value) for key, value in (span.get("attributes") or {}).items()}
    if str(attributes.get("mlflow.spanType")) not in CALLS:
        return Left("not_llm")
    inputs, outputs = attributes.get("mlflow.spanInputs"), attributes.get("mlflow.spanOutputs")
    asked, answered = messages(inputs, "user"), messages(outputs, "assistant")
    start_ns = span.get("start_time_unix_nano") or span.get("start_time_ns") or span.get("start_time")
    start = time_of(start_ns, options.time)
    if not asked or not answered:
        return Left("no_messages")
    if start is None:
        return Left("no_time")
    given = inputs if isinstance(inputs, Mapping) else {}
    return event(
        INTERACTION,
        id=own_id(SOURCE, options.application, trace, span.get("span_id")),
        time=start,
        application=options.application,
        conversation_id=name(metadata.get("mlflow.trace.session")) or trace,
        user_id=name(metadata.get("mlflow.trace.user")),
        request_model=name(given.get("model") or attributes.get("mlflow.llm.model")) or "unknown",
        input_messages=asked,
        output_messages=answered,
        request_parameters={key: value for key, value in given.items() if isinstance(value, int | float)},
        duration_ms=milliseconds(
            start, time_of(span.get("end_time_unix_nano") or span.get("end_time_ns") or span.get("end_time"))
        ),
        trace_id=trace.removeprefix("tr-") if re.fullmatch("(tr-)?[0-9a-f]{32}", trace) else None,
    )


def _assessment(
    each: Mapping[str, Any], at: int, trace: str, about: Mapping[str, Any] | None, options: Options
) -> Iterator[Outcome]:
    if about is None:
        yield Left("no_target")
        return
    label = str(each.get("assessment_name") or each.get("name") or "assessment")
    source = opened(each.get("source")) or {}
    fields: dict[str, Any] = {
        "id": own_id(SOURCE, "assessment", options.application, trace, each.get("assessment_id") or at),
        "time": time_of(each.get("create_time") or each.get("create_time_ms"), str(about["time"])),
        "application": options.application,
        "conversation_id": about["conversation_id"],
        "interaction_id": about["id"],
        "user_id": name(source.get("source_id")) if source.get("source_type") == "HUMAN" else None,
    }
    if each.get("expectation"):
        expected = opened(each["expectation"])
        text = expected.get("value") if isinstance(expected, Mapping) else expected
        yield event(FEEDBACK, kind="correction", text=str(text), **fields) if text else Left("no_value")
        return
    feedback = opened(each.get("feedback")) or {}
    value = feedback.get("value") if isinstance(feedback, Mapping) else feedback
    by = BY.get(str(source.get("source_type")), "judge")
    value = value if isinstance(value, bool | str) or value is None else number(value)
    rationale = each.get("rationale") if by else None
    yield said(label, value, options, by=by, text=str(rationale) if rationale else None, **fields)


def _nanoseconds(value: Any) -> int:
    found = time_of(value)
    return int(datetime.fromisoformat(found).timestamp() * 1_000_000) * 1000 if found else 0
