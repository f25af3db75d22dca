"""OTLP's two forms are one: what protobuf says, JSON says, and what is neither is refused as a whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streams.doors import otlp


def value(plain: Any) -> dict[str, Any]:
    """A plain value in OTLP's JSON."""
    if isinstance(plain, bool):
        return {"boolValue": plain}
    if isinstance(plain, int):
        return {"intValue": str(plain)}
    if isinstance(plain, float):
        return {"doubleValue": plain}
    if isinstance(plain, str):
        return {"stringValue": plain}
    if isinstance(plain, list):
        return {"arrayValue": {"values": [value(each) for each in plain]}}
    return {"kvlistValue": {"values": [{"key": key, "value": value(each)} for key, each in plain.items()]}}


def fill(message: Any, plain: Any) -> None:
    """The same in a protobuf message."""
    if isinstance(plain, bool):
        message.bool_value = plain
    elif isinstance(plain, int):
        message.int_value = plain
    elif isinstance(plain, float):
        message.double_value = plain
    elif isinstance(plain, str):
        message.string_value = plain
    elif isinstance(plain, list):
        message.array_value.SetInParent()
        for each in plain:
            fill(message.array_value.values.add(), each)
    else:
        message.kvlist_value.SetInParent()
        for key, each in plain.items():
            fill(message.kvlist_value.values.add(key=key).value, each)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner),
    max_leaves=6,
)  # fmt: skip


@given(PLAIN, st.integers(0, 3), st.integers(0, 2**63))
def test_both_forms_are_read_alike(plain: Any, status: int, time_ns: int) -> None:
    """Attributes of every kind, ids, times, status, events, resource and scope."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    scoped = group.scope_spans.add()
    scoped.scope.name, scoped.scope.version = "lib", "1"
    span = scoped.spans.add(
        trace_id=bytes.fromhex("AB" * 16), span_id=bytes.fromhex("cd" * 8), start_time_unix_nano=time_ns,
        dropped_attributes_count=2,
    )  # fmt: skip
    span.status.code = status
    fill(span.attributes.add(key="x").value, plain)
    span.events.add(name="e", time_unix_nano=7)
    written = {
        "traceId": "AB" * 16, "spanId": "cd" * 8, "startTimeUnixNano": str(time_ns), "droppedAttributesCount": 2,
        "attributes": [{"key": "x", "value": value(plain)}], "status": {"code": status},
        "events": [{"name": "e", "timeUnixNano": 7}], "endTimeUnixNano": 0, "unknownField": 1,
    }  # fmt: skip
    body = {"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeSpans": [{"scope": {"name": "lib", "version": "1"}, "spans": [written]}],
    }]}  # fmt: skip

    (one,) = otlp.read(request.SerializeToString(), "traces", json=False)
    (other,) = otlp.read(json.dumps(body).encode(), "traces", json=True)

    assert one == other
    assert (one.trace_id, one.scope, one.attributes["x"]) == ("ab" * 16, "lib 1", plain)


def test_enums_may_be_names() -> None:
    """As some exporters write them."""
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [{"status": {"code": "STATUS_CODE_ERROR"}}]}]}]}
    (span,) = otlp.read(json.dumps(body).encode(), "traces", json=True)

    assert isinstance(span, otlp.Span)
    assert span.status == "error"


def test_a_log_record_has_the_name_of_its_event() -> None:
    """In its own field, or in the attribute of old; its time is when it was observed, where it has none."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add(event_name="gen_ai.choice", time_unix_nano=5)
    records.add(observed_time_unix_nano=6).attributes.add(key="event.name").value.string_value = "old"
    written = {"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"eventName": "gen_ai.choice", "timeUnixNano": "5"},
        {"observedTimeUnixNano": "6", "attributes": [{"key": "event.name", "value": {"stringValue": "old"}}]},
    ]}]}]}  # fmt: skip

    one = list(otlp.read(request.SerializeToString(), "logs", json=False))

    assert one == list(otlp.read(json.dumps(written).encode(), "logs", json=True))
    assert [(each.event_name, each.time_ns) for each in one] == [("gen_ai.choice", 5), ("old", 6)]  # type: ignore[union-attr]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_request_are_refused_as_one(body: bytes) -> None:
    """Read, or named; nothing else is raised, however far one reads."""
    for json_ in (True, False):
        for signal in ("traces", "logs"):
            try:
                list(otlp.read(body, signal, json=json_))  # type: ignore[arg-type]
            except otlp.BadRequest:
                continue


@pytest.mark.parametrize("depth", [40, 90, 2000])
def test_nesting_has_a_bound(depth: int) -> None:
    """A value nested deeper than any real one is left out, or its request is refused."""
    nested: Any = {"stringValue": "bottom"}
    for _ in range(depth):
        nested = {"arrayValue": {"values": [nested]}}
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": []}]}]}]})
    inner = json.dumps(nested) if depth < 500 else '{"arrayValue":{"values":[' * depth + "]}}" * depth
    body = text.replace('"attributes": []', f'"attributes": [{{"key": "x", "value": {inner}}}]').encode()
    try:
        (span,) = otlp.read(body, "traces", json=True)
    except otlp.BadRequest:
        return
    assert "bottom" not in str(span.attributes)


def test_the_answer_says_what_was_rejected() -> None:
    """In the form of the request; nothing where all was taken."""
    assert json.loads(otlp.answer("traces", 0, "", json=True)) == {}
    partial = json.loads(otlp.answer("logs", 2, "no content", json=True))
    assert partial == {"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": "no content"}}
    read = ExportLogsServiceResponse.FromString(otlp.answer("logs", 2, "no content", json=False))
    assert (read.partial_success.rejected_log_records, read.partial_success.error_message) == (2, "no content")


class OnceBroken(str):
    """No application; and looking at it fails, the first time."""

    looks = 0

    def __bool__(self) -> bool:
        """False; raises once."""
        self.looks += 1
        if self.looks == 1:
            raise ZeroDivisionError
        return False


def test_a_span_that_stops_our_code_takes_no_other_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """It is left out under a reason of its own; the log says where, and nothing of what the span said."""
    said = {"key": "gen_ai.input.messages", "value": value('[{"role": "user", "content": "my secret"}]')}
    span = {"spanId": "a1", "attributes": [{"key": "gen_ai.operation.name", "value": value("chat")}, said]}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span, {**span, "spanId": "a2"}]}]}]})

    events, skipped = otlp.events_of(body.encode(), "traces", json=True, application=OnceBroken())

    assert [json.loads(each.value)["span_id"] for each in events] == ["a2"]
    assert skipped == {"unexpected": 1}
    assert "ZeroDivisionError" in caplog.text
    assert "my secret" not in caplog.text
