"""OTLP requests, protobuf or JSON → spans and log records, and the events that these tell of.

The only place that knows OpenTelemetry's wire formats. A request that cannot be read raises `BadRequest` as a whole.
Go on to `schemas/otel/__init__.py`, which maps.
"""

from __future__ import annotations

import base64
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from schemas.otel import LogRecord, Mapped, Span, SpanEvent, of_log, of_span
from streams.logs import frames

_log = logging.getLogger(__name__)
Signal = Literal["traces", "logs"]
Source = Span | LogRecord
STATUS: dict[int | str, Literal["unset", "ok", "error"]] = {
    0: "unset", 1: "ok", 2: "error", "STATUS_CODE_UNSET": "unset", "STATUS_CODE_OK": "ok", "STATUS_CODE_ERROR": "error",
}  # fmt: skip
MAX_DEPTH = 32
"""Nesting of an attribute's value: what is deeper is left out."""


class BadRequest(Exception):
    """The body is no OTLP request."""


def events_of(
    body: bytes, signal: Signal, *, json: bool, application: str | None = None
) -> tuple[list[Mapped], Counter[str]]:
    """The events that a request tells of, and why others of its spans and log records are none. Raises BadRequest.

    One that stops this program's code in a way that nobody foresaw is left out, and takes no other with it.
    """
    events: list[Mapped] = []
    skipped: Counter[str] = Counter()
    for each in read(body, signal, json=json):
        try:
            outcome = of_log(each, application) if isinstance(each, LogRecord) else of_span(each, application)
        except Exception as error:
            _log.error("a span or log record stops the mapping: it is left out\n%s", frames(error))
            skipped["unexpected"] += 1
            continue
        events += outcome.events
        if outcome.skipped:
            skipped[outcome.skipped] += 1
    return events, skipped


def read(body: bytes, signal: Signal, *, json: bool) -> Iterator[Source]:
    """The spans or log records of a request, one after the other. Raises BadRequest before the first of them."""
    try:
        if json:
            return iter(_json_spans(body) if signal == "traces" else _json_logs(body))
        if signal == "traces":
            return _spans(ExportTraceServiceRequest.FromString(body))
        return _logs(ExportLogsServiceRequest.FromString(body))
    except (DecodeError, msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, TypeError) as error:
        raise BadRequest(f"no OTLP request of {signal}: {error}") from error


def answer(signal: Signal, rejected: int, message: str, *, json: bool) -> bytes:
    """The body of an answer; what was rejected is said in it."""
    if json:
        names = {"traces": "rejectedSpans", "logs": "rejectedLogRecords"}
        partial = {"partialSuccess": {names[signal]: str(rejected), "errorMessage": message}} if message else {}
        return msgspec.json.encode(partial)
    response = ExportTraceServiceResponse() if signal == "traces" else ExportLogsServiceResponse()
    if message:
        response.partial_success.error_message = message
        if isinstance(response, ExportTraceServiceResponse):
            response.partial_success.rejected_spans = rejected
        else:
            response.partial_success.rejected_log_records = rejected
    return bytes(response.SerializeToString())


def _spans(request: Any) -> Iterator[Span]:
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scoped in group.scope_spans:
            scope = f"{scoped.scope.name} {scoped.scope.version}".strip()
            for span in scoped.spans:
                yield Span(
                    span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.start_time_unix_nano,
                    span.end_time_unix_nano, _attributes(span.attributes),
                    [SpanEvent(each.name, each.time_unix_nano, _attributes(each.attributes)) for each in span.events],
                    STATUS.get(span.status.code, "unset"), span.dropped_attributes_count, resource, scope,
                )  # fmt: skip


def _logs(request: Any) -> Iterator[LogRecord]:
    for group in request.resource_logs:
        resource = _attributes(group.resource.attributes)
        for scoped in group.scope_logs:
            scope = f"{scoped.scope.name} {scoped.scope.version}".strip()
            for record in scoped.log_records:
                attributes = _attributes(record.attributes)
                yield LogRecord(
                    record.event_name or str(attributes.get("event.name", "")),
                    record.time_unix_nano or record.observed_time_unix_nano, attributes, _value(record.body),
                    record.trace_id.hex(), record.span_id.hex(), record.dropped_attributes_count, resource, scope,
                )  # fmt: skip


def _attributes(pairs: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        value = pair.value
        kind = value.WhichOneof("value")
        found[pair.key] = value.string_value if kind == "string_value" else _value(value, kind)
    return found


def _value(value: Any, kind: str | None = None, depth: int = 0) -> Any:
    kind = kind or value.WhichOneof("value")
    if kind is None or depth > MAX_DEPTH:
        return None
    if kind == "array_value":
        return [_value(each, None, depth + 1) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {each.key: _value(each.value, None, depth + 1) for each in value.kvlist_value.values}
    return getattr(value, kind)


class _Camel(msgspec.Struct, frozen=True, rename="camel"):
    """OTLP's JSON has lower camel case, and ids in hexadecimal."""


Number = int | str
"""64 bits do not fit a JSON number: they come as text."""


class _Value(_Camel, frozen=True, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Number | None = None
    double_value: float | str | None = None
    bytes_value: str | None = None
    array_value: _Array | None = None
    kvlist_value: _Pairs | None = None

    def plain(self, depth: int = 0) -> Any:
        """The value itself."""
        if self.string_value is not None or depth > MAX_DEPTH:
            return self.string_value
        if self.array_value is not None:
            return [each.plain(depth + 1) for each in self.array_value.values]
        if self.kvlist_value is not None:
            return {each.key: each.value.plain(depth + 1) for each in self.kvlist_value.values}
        return self._scalar()

    def _scalar(self) -> Any:
        if self.int_value is not None:
            return int(self.int_value)
        if self.double_value is not None:
            return float(self.double_value)
        return self.bool_value if self.bytes_value is None else base64.b64decode(self.bytes_value)


class _Array(_Camel, frozen=True, rename="camel"):
    values: list[_Value] = []


class _Pair(_Camel, frozen=True, rename="camel"):
    key: str
    value: _Value = _Value()


class _Pairs(_Camel, frozen=True, rename="camel"):
    values: list[_Pair] = []


class _Described(_Camel, frozen=True, rename="camel"):
    attributes: list[_Pair] = []

    def plain(self) -> dict[str, Any]:
        """The attributes as plain values."""
        return {each.key: each.value.plain() for each in self.attributes}


class _Scope(_Camel, frozen=True, rename="camel"):
    name: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


class _Status(_Camel, frozen=True, rename="camel"):
    code: int | str = 0


class _SpanEvent(_Described, frozen=True, rename="camel"):
    name: str = ""
    time_unix_nano: Number = 0


class _Span(_Described, frozen=True, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str = ""
    start_time_unix_nano: Number = 0
    end_time_unix_nano: Number = 0
    events: list[_SpanEvent] = []
    status: _Status = _Status()
    dropped_attributes_count: int = 0


class _ScopeSpans(_Camel, frozen=True, rename="camel"):
    scope: _Scope = _Scope()
    spans: list[_Span] = []


class _ResourceSpans(_Camel, frozen=True, rename="camel"):
    resource: _Described = _Described()
    scope_spans: list[_ScopeSpans] = []


class _Traces(_Camel, frozen=True, rename="camel"):
    resource_spans: list[_ResourceSpans] = []


class _LogRecord(_Described, frozen=True, rename="camel"):
    event_name: str = ""
    time_unix_nano: Number = 0
    observed_time_unix_nano: Number = 0
    body: _Value = _Value()
    trace_id: str = ""
    span_id: str = ""
    dropped_attributes_count: int = 0


class _ScopeLogs(_Camel, frozen=True, rename="camel"):
    scope: _Scope = _Scope()
    log_records: list[_LogRecord] = []


class _ResourceLogs(_Camel, frozen=True, rename="camel"):
    resource: _Described = _Described()
    scope_logs: list[_ScopeLogs] = []


class _Logs(_Camel, frozen=True, rename="camel"):
    resource_logs: list[_ResourceLogs] = []


_traces = msgspec.json.Decoder(_Traces).decode
_log_records = msgspec.json.Decoder(_Logs).decode


def _json_spans(body: bytes) -> Sequence[Span]:
    found = []
    for group in _traces(body).resource_spans:
        resource = group.resource.plain()
        for scoped in group.scope_spans:
            for span in scoped.spans:
                events = [SpanEvent(each.name, int(each.time_unix_nano), each.plain()) for each in span.events]
                found.append(Span(
                    span.trace_id.lower(), span.span_id.lower(), span.parent_span_id.lower(),
                    int(span.start_time_unix_nano), int(span.end_time_unix_nano), span.plain(), events,
                    STATUS.get(span.status.code, "unset"), span.dropped_attributes_count, resource, str(scoped.scope),
                ))  # fmt: skip
    return found


def _json_logs(body: bytes) -> Sequence[LogRecord]:
    found = []
    for group in _log_records(body).resource_logs:
        resource = group.resource.plain()
        for scoped in group.scope_logs:
            for record in scoped.log_records:
                attributes = record.plain()
                found.append(LogRecord(
                    record.event_name or str(attributes.get("event.name", "")),
                    int(record.time_unix_nano) or int(record.observed_time_unix_nano), attributes, record.body.plain(),
                    record.trace_id.lower(), record.span_id.lower(), record.dropped_attributes_count, resource,
                    str(scoped.scope),
                ))  # fmt: skip
    return found
